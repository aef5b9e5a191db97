"""What may not be asked of classifiers: settings that do not go together, and what a dataset, a base or a server cannot give."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from noisegate.errors import FieldError, InvalidSpec
from noisegate.spec.caps import Caps
from noisegate.spec.exclusion import SampleSubgroup
from noisegate.spec.facts import BaseFacts, DatasetFacts
from noisegate.spec.networks import BackboneNetwork, unfit
from noisegate.spec.recipes import LinearRecipe
from noisegate.spec.subgroups import SubgroupSpec

if TYPE_CHECKING:
    from noisegate.spec.training import ClassifierExperiment


def check_settings(spec: "ClassifierExperiment") -> None:
    """Refuse settings that do not go together, whatever the dataset.

    Raises:
        InvalidSpec: with one entry a field.
    """
    found = [
        *unfit(spec.network, spec.training, spec.image_size),
        *_unfit_fitting(spec),
        *_unfit_for_cross_validation(spec),
        *_unfit_without(spec),
    ]
    if found:
        raise InvalidSpec([FieldError(*one) for one in found])
    if spec.training.stops_after is not None and spec.holdout == 0:
        message = f"is {spec.training.stops_after}, and there is no holdout to see on when to stop"
        remedy = "Give holdout 0.1, or patience null: then all epochs are trained and the last one is kept."
        raise InvalidSpec([FieldError("training.patience", message, remedy)])


def check_view(spec: "ClassifierExperiment", dataset: DatasetFacts, field: str | None = None) -> None:
    """Refuse what a dataset without original files cannot give; `field` names it where it is not the one trained on."""
    if dataset.has_originals or spec.view_of(dataset) is None:
        return
    kept = f"dataset {dataset.name!r} was packed at {dataset.image_size} before original files were kept"
    remedy = "or upload the images again: what is sent now is kept for every size."
    errors = []
    if spec.image_size != dataset.image_size:
        message = f"is {spec.image_size}, but {kept}"
        errors.append(FieldError("image_size", message, f"Use image_size {dataset.image_size}, {remedy}"))
    for name, said in spec.fitting.named_members():
        errors.append(FieldError(name, f"is {said}, but {kept}", f"Leave it out, {remedy}"))
    if field is not None:
        message = f"names {dataset.name!r}, which was packed at {dataset.image_size} before original files were kept"
        errors = [FieldError(field, message, f"Use image_size {dataset.image_size} and stretch, {remedy}")]
    raise InvalidSpec(errors)


def check_subgroup(
    spec: "ClassifierExperiment", wanted: SubgroupSpec | SampleSubgroup, kept: int, base: BaseFacts | None
) -> None:
    """Refuse a subgroup that is smaller than a batch, or of which the base has nothing to choose from.

    Args:
        kept: training images that the holdout leaves.
    """
    # Each of the two parts is rounded, so the union may have one image more than this.
    most = math.ceil(wanted.fraction * kept) + 1
    if most < spec.training.batch_size:
        message = f"leaves about {most - 1} of {kept} training images, fewer than a batch of {spec.training.batch_size}"
        remedy = "Take a larger share, or smaller batches."
        raise InvalidSpec([FieldError("subgroup.fraction", message, remedy)])
    if base is not None and isinstance(wanted, SubgroupSpec):
        wanted.check_counts(correct=base.correct, wrong=base.wrong)


def check_bytes(spec: "ClassifierExperiment", dataset: DatasetFacts, caps: Caps) -> None:
    """Refuse more bytes of training images, noise included, than a process may hold."""
    if (bytes_an_image := _bytes_an_image(spec)) is None:
        return
    wanted = (dataset.train_count + spec.noise_images(dataset)) * bytes_an_image
    if wanted <= caps.training_bytes:
        return
    without_noise = dataset.train_count * bytes_an_image
    if without_noise > caps.training_bytes:
        message = f"needs {without_noise:,} bytes without any noise; this server allows {caps.training_bytes:,}"
        remedy = "Use fewer images, or a smaller image_size."
        raise InvalidSpec([FieldError("dataset", message, remedy)])
    room = (caps.training_bytes / bytes_an_image - dataset.train_count) / dataset.mean_class_size
    largest = math.floor(max(0.0, room) * 100) / 100
    message = f"makes {wanted:,} bytes of training images a cell; this server allows {caps.training_bytes:,}"
    raise InvalidSpec([FieldError("noise.quantity", message, f"At most {largest:g} fits with this dataset.")])


def _unfit_without(spec: "ClassifierExperiment") -> Iterator[tuple[str, str, str]]:
    """As `unfit`: what means nothing without something else."""
    if spec.exclude is not None and isinstance(spec.subgroup, SampleSubgroup):
        message = "is given beside exclude, and both choose by samples"
        yield "subgroup", message, "Give one of the two."
    if spec.noise_weight != 1 and not spec.has_noise_class:
        yield "noise_weight", "is given, and there is no noise class", "Leave it out, or give noise."
    if spec.declared_unknown and spec.calibration == "holdout" and spec.holdout == 0:
        message = "is set, and there is no holdout to choose the rule on"
        yield "declared_unknown", message, "Give holdout 0.1, or leave declared_unknown out."
    if spec.rule is None:
        return
    if spec.calibration == "holdout" and spec.holdout == 0:
        message = "is given, and there is no holdout to choose its thresholds on"
        yield "rule", message, "Give holdout 0.1, or leave rule out."
    if spec.declared_unknown:
        message = "is given, and declared_unknown chooses one"
        yield "rule", message, "Leave one of the two out."


def _unfit_fitting(spec: "ClassifierExperiment") -> Iterator[tuple[str, str, str]]:
    """As `unfit`: what of making squares does not go together."""
    if spec.resize == "pad" and spec.crop_share < 1:
        message = f"is {spec.crop_share:g}, and resize is pad, which shows all of an image"
        yield "crop_share", message, "Leave it out, or resize by crop or stretch."


def _unfit_for_cross_validation(spec: "ClassifierExperiment") -> Iterator[tuple[str, str, str]]:
    """As `unfit`: what does not go with calibration cross_validated."""
    if spec.calibration == "holdout":
        return
    if not isinstance(spec.training, LinearRecipe):
        message = f"is cross_validated, which trains five networks more, and the recipe is {spec.training.recipe}"
        remedy = "Leave it out, which is a holdout; or train by the recipe linear, in seconds, on top of a backbone."
        yield "calibration", message, remedy
    if spec.holdout > 0:
        message = f"is {spec.holdout:g}, and calibration is cross_validated, which holds nothing out"
        yield "holdout", message, "Leave it out; or leave calibration out, which then takes the holdout."
    if spec.subgroup is not None:
        message = "is set, and calibration is cross_validated: images of a subgroup are not like those to come"
        yield "subgroup", message, "Leave calibration out, which takes a holdout of all kinds of images."


def _bytes_an_image(spec: "ClassifierExperiment") -> int | None:
    """Of what is copied into memory; None for features, which are some kilobytes."""
    if not isinstance(spec.network, BackboneNetwork):
        return 3 * spec.image_size**2
    if not spec.training.tunes_backbone:
        return None
    assert spec.network.facts.cut, "checked"
    activations = 4 * spec.network.facts.cut.values(spec.image_size)
    return activations if spec.training.augmentation is None else 2 * activations
