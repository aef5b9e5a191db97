"""Experiments that train image classifiers: on what, how, with which noise class or subgroup."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from noisegate.decision_rule import DecisionRule
from noisegate.errors import FieldError, InvalidSpec
from noisegate.networks.backbones import backbone_of, full_names
from noisegate.noise import NoiseFamily, NoiseSpec, OneOrSeveralNoises
from noisegate.spec.caps import Caps, Requested
from noisegate.spec.derived import CropShare, DecodingField, Features, Fitting, InterpolationField, Needed, Resize, View
from noisegate.spec.exclusion import AnySubgroup, Exclusion, SampleSubgroup
from noisegate.spec.experiment import BaseReference, ExperimentBase, Line
from noisegate.spec.facts import BaseFacts, DatasetFacts
from noisegate.spec.fitness import check_bytes, check_settings, check_subgroup, check_view
from noisegate.spec.networks import BackboneNetwork, NetworkChoice, named, trained_network
from noisegate.spec.recipe import TrainingSpec
from noisegate.spec.recipes import PaperRecipe, Training
from noisegate.spec.subgroups import SubgroupSpec
from noisegate.spec.unknown import DeclaredUnknown

# In units of one training on all images: that one, and five on four fifths of them.
_CROSS_VALIDATED_TRAININGS = 5
# A base execution sees all training images and no noise, and only its answers are asked for.
NOT_OF_BASES = frozenset({"noise", "noise_weight", "subgroup", "sweep", "exclude"})
Probability = Annotated[float, Field(ge=0, lt=1)]


class ClassifierExperiment(ExperimentBase):
    """What experiments that train image classifiers have in common: on what, how, with which noise class or subgroup."""

    not_swept: ClassVar[frozenset[str]] = ExperimentBase.not_swept | {
        "dataset",
        "keep_models",
        "base",
        "promote",
        "declared_unknown",
        "record",
        "rule",
    }

    dataset: Line = Field(min_length=1, description="Id or name of a dataset.")
    network: NetworkChoice = "paper"
    image_size: int = Field(
        32, ge=8, le=4096, description="Pixels a side. With a backbone it is the backbone's own unless it is given."
    )
    resize: Resize = Field(
        "stretch",
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda resize: resize == "stretch",
        description="How images become squares: stretched; cropped (the shorter side fits, the middle is cut out); or padded "
        "(the longer side fits, the rest is gray).",
    )
    interpolation: InterpolationField = "bilinear"
    crop_share: CropShare = 1.0
    decoding: DecodingField = "full"
    training: Training = PaperRecipe()
    noise: OneOrSeveralNoises | None = Field(
        None,
        description="The noise class; several kinds may fill it together. null or quantity 0 trains without one.",
    )
    noise_weight: float = Field(
        1,
        gt=0,
        le=1000,
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda weight: weight == 1,
        description="How much an image of the noise class counts in the loss, a known one counting 1. Below 1, fewer known images "
        "are called noise.",
    )
    subgroup: AnySubgroup = Field(None, description="Which training images to use; null for all of them.")
    exclude: Exclusion | None = Field(
        None,
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda exclude: exclude is None,
        description="Training images to leave out, by what an earlier experiment has recorded of each. They are left out of the "
        "holdout, too; which they are is settled when the experiment is posted.",
    )
    record: Literal["none", "samples"] = Field(
        "none",
        exclude_if=lambda record: record == "none",
        description="samples: keep what each execution says of each training image while it is trained (probability of the label "
        "and margin in every epoch), for GET /experiments/{id}/samples. Results stay the same.",
    )
    base: BaseReference | None = Field(
        None,
        description="The execution whose answers decide over the subgroups; null trains one for this experiment.",
    )
    holdout: Probability = Field(
        0.1,
        description="Share of the training images kept out of training to calibrate the threshold; 0 in the paper's presets.",
    )
    calibration: Literal["holdout", "cross_validated"] = Field(
        "holdout",
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda calibration: calibration == "holdout",
        description="What threshold, temperature and p-values are made of: the holdout; or, by cross-validation, every training "
        "image, each answered by a layer that was trained without it. The latter is for the recipe linear, needs holdout 0, which "
        "is then the default, and takes all images, so no subgroup.",
    )
    declared_unknown: list[DeclaredUnknown] = Field(
        [],
        max_length=20,
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda declared: not declared,
        description="Images of none of the classes, such as an uploaded folder of what is not meant: which scores decide is then "
        "chosen for each model, on the holdout and on these. They are not trained on.",
    )
    rule: DecisionRule | None = Field(
        None,
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda rule: rule is None,
        description="Which scores decide, for every model; null for the reject score alone, or what declared_unknown chooses. A "
        "model can be given another rule later.",
    )
    keep_models: Literal["best", "all", "none"] = Field(
        "best",
        description="Which trained models a cell keeps: the best by accuracy on the holdout or in cross-validation, all of them, "
        "or none.",
    )
    promote: Literal["if_none", "if_better", "never"] = Field(
        "if_none",
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda promote: promote == "if_none",
        description="When the experiment succeeds, the alias `default` is set to its best model that has learnt: if_none, if there "
        "is no default; if_better, also if the model there has the same classes, was trained on the same dataset and has a lower "
        "holdout accuracy; never.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_backbones_are_used(cls, document: Any) -> Any:
        """What is not given and would make no sense with a backbone: its own image size, and the recipe that it is for."""
        network = document.get("network") if isinstance(document, dict) else None
        if not isinstance(network, dict | BackboneNetwork):
            return document
        name = network.backbone if isinstance(network, BackboneNetwork) else network.get("backbone")
        size = {"image_size": backbone_of(name).image_size} if isinstance(name, str) and name in full_names() else {}
        return size | {"training": {"recipe": "linear"}} | document

    @model_validator(mode="before")
    @classmethod
    def _as_cross_validation_is_used(cls, document: Any) -> Any:
        """Without a holdout, unless one is asked for: that is refused later, where the field can be named."""
        if isinstance(document, dict) and document.get("calibration") == "cross_validated":
            return {"holdout": 0} | document
        return document

    @property
    def fitting(self) -> Fitting:
        """How images become squares."""
        return Fitting(self.resize, self.interpolation, self.crop_share, self.decoding)

    @property
    def trained_network(self) -> str:
        """The name of what is trained: the network; or of a backbone its later layers, or `linear` on top of it."""
        return trained_network(self.network, self.training).name

    @property
    def activations(self) -> tuple[int, int, int] | None:
        """Side, side and channels of what is trained on in place of images where a backbone's later layers go on training."""
        if isinstance(self.network, str) or not self.training.tunes_backbone:
            return None
        assert self.network.facts.cut, "checked"
        return self.network.facts.cut.shape(self.image_size)

    @property
    def epochs_per_execution(self) -> int:
        return self.training.epochs

    @property
    def recipe(self) -> TrainingSpec:
        return self.training

    @property
    def asked_rule(self) -> DecisionRule | None:
        return self.rule

    @property
    def pace(self) -> tuple[str, ...]:
        how = (f"network {named(self.network)}", f"recipe {self.training.recipe}", f"{self.image_size} pixels")
        return (self.kind, *how)

    @property
    def named_dataset(self) -> str:
        return self.dataset

    @property
    def other_datasets(self) -> dict[str, str]:
        declared = {
            f"declared_unknown.{number}.dataset": one.dataset for number, one in enumerate(self.declared_unknown)
        }
        return declared | {f"{path}.dataset": noise.image_dataset or "" for path, noise in self._noises_of_images()}

    def check_others(self, dataset: DatasetFacts, others: Mapping[str, DatasetFacts]) -> None:
        errors = [
            error
            for number, one in enumerate(self.declared_unknown)
            for error in one.unfit(
                f"declared_unknown.{number}", others[f"declared_unknown.{number}.dataset"], dataset.classes
            )
        ]
        for path, noise in self._noises_of_images():
            other = others[f"{path}.dataset"]
            asked = DeclaredUnknown(dataset=other.name, exclude=list(noise.excluded))
            errors += asked.unfit(path, other, dataset.classes)
        for field, other in others.items():
            check_view(self, other, field)
        if errors:
            raise InvalidSpec(errors)

    @property
    def named_base(self) -> BaseReference | None:
        return self.base

    @property
    def needs_base(self) -> bool:
        return isinstance(self.subgroup, SubgroupSpec)

    @property
    def selects_images(self) -> bool:
        return self.exclude is not None or isinstance(self.subgroup, SampleSubgroup)

    @property
    def noises(self) -> list[NoiseSpec]:
        """The kinds of noise that fill the noise class; none without one."""
        return [noise for noise in self._noises_written if noise.quantity > 0]

    @property
    def has_noise_class(self) -> bool:
        return bool(self.noises)

    def noise_counts(self, mean_class_size: float) -> list[tuple[NoiseSpec, int]]:
        """How many images of each kind of noise the cell trains on, given the mean number of training images a class."""
        return [(noise, max(1, round(noise.quantity * mean_class_size))) for noise in self.noises]

    def count_noise_images(self, mean_class_size: float) -> int:
        """How many noise images that is in all."""
        return sum(count for _, count in self.noise_counts(mean_class_size))

    def named_members(self) -> Iterator[tuple[str, str]]:
        yield from super().named_members()
        yield "network", "backbone" if isinstance(self.network, BackboneNetwork) else self.network
        if isinstance(self.network, BackboneNetwork):
            yield from self.network.named_members()
        yield from self.fitting.named_members()
        if self.promote != "if_none":
            yield "promote", self.promote
        if self.calibration != "holdout":
            yield "calibration", self.calibration
        if self.noise_weight != 1:
            yield "noise_weight", "a weight"
        if self.exclude is not None:
            yield "exclude", "images"
        if isinstance(self.subgroup, SampleSubgroup):
            yield "subgroup", "by samples"
        if self.record != "none":
            yield "record", self.record
        if self.declared_unknown:
            yield "declared_unknown", "datasets"
        if self.rule is not None:
            yield "rule", "scores"
        yield "recipe", self.training.recipe
        yield from (("family", noise.family) for noise in self._noises_written)

    def requested(self, caps: Caps) -> Iterator[Requested]:
        yield from super().requested(caps)
        yield Requested("training.epochs", self.training.epochs, caps.epochs)
        yield Requested("image_size", self.image_size, caps.image_size)
        yield Requested("noise.quantity", sum(noise.quantity for noise in self.noises), caps.quantity)
        if not self.training.needs_backbone:
            yield Requested("training.batch_size", self.training.batch_size, caps.batch_pixels // self.image_size**2)

    def check(self, dataset: DatasetFacts | None, caps: Caps, base: BaseFacts | None) -> None:
        assert dataset is not None, "classifiers are trained on a dataset"
        check_settings(self)
        check_view(self, dataset)
        kept = math.floor(dataset.train_count * (1 - self.holdout))
        if kept < len(dataset.classes):
            message = f"leaves fewer than one training image a class of {dataset.train_count}"
            raise InvalidSpec([FieldError("holdout", message, "Hold out less; 0.1 is usual.")])
        if self.subgroup is not None:
            check_subgroup(self, self.subgroup, kept, base)
        check_bytes(self, dataset, caps)

    def needed(self, dataset: DatasetFacts | None) -> Needed | None:
        assert dataset is not None, "classifiers are trained on a dataset"
        view = self.view_of(dataset)
        if not isinstance(self.network, BackboneNetwork):
            return view
        backbone, weights = self.network.facts, self.network.weights
        if not self.training.tunes_backbone:
            asked = self.network.model_dump(include={"precision", "layers"})
            made = Features(backbone=backbone.name, weights=weights, **asked)
            return Needed(made, follows_from=view)
        assert backbone.cut, "checked"
        flipped = self.training.augmentation is not None and self.training.augmentation.flip
        made = Features(backbone=backbone.name, weights=weights, upto=backbone.cut.upto, flipped=flipped)
        return Needed(made, follows_from=view)

    def training_images(self, dataset: DatasetFacts | None) -> int:
        """As every kind's; a subgroup counts as `fraction` of the images."""
        assert dataset is not None, "classifiers are trained on a dataset"
        kept = round(dataset.train_count * (1 - self.holdout))
        kept = round(kept * self.subgroup.fraction) if self.subgroup else kept
        noise = 0 if self.training.equal_updates else self.noise_images(dataset)
        trainings = _CROSS_VALIDATED_TRAININGS if self.calibration == "cross_validated" else 1
        return trainings * self.training.epochs * (kept + noise)

    def noise_images(self, dataset: DatasetFacts | None) -> int:
        assert dataset is not None, "classifiers are trained on a dataset"
        return self.count_noise_images(dataset.mean_class_size)

    def base_spec(self) -> "ClassifierExperiment":
        """No noise, all training images, the rest as in this spec (section 5.1)."""
        shared = set(ClassifierExperiment.model_fields) - NOT_OF_BASES
        return TrainingExperiment.model_validate(self.model_dump(mode="json", include=shared))

    def _noises_of_images(self) -> Iterator[tuple[str, NoiseFamily]]:
        """Noise that is images of a dataset, each with its path in the spec."""
        for number, noise in enumerate(self._noises_written):
            if noise.quantity > 0 and noise.image_dataset is not None:
                yield (f"noise.{number}" if isinstance(self.noise, list) else "noise"), noise

    def noise_source(self, noise: NoiseFamily) -> str | None:
        """The path of the field that names the dataset of this noise, one of `noises`; None for noise that is drawn."""
        return next((f"{path}.dataset" for path, other in self._noises_of_images() if other is noise), None)

    @property
    def _noises_written(self) -> list[NoiseSpec]:
        """Those of quantity 0 too."""
        return self.noise if isinstance(self.noise, list) else [self.noise] if self.noise else []

    def view_of(self, dataset: DatasetFacts) -> Needed | None:
        """The view of the dataset that its cells read; None where that is the dataset as it was packed."""
        as_packed = self.image_size == dataset.image_size and self.fitting.is_plain
        return None if as_packed else Needed(View(image_size=self.image_size, **asdict(self.fitting)))


class TrainingExperiment(ClassifierExperiment):
    """Train classifiers and measure them on the test set."""

    kind: Literal["training"] = "training"
