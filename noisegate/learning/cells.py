"""One cell from its dataset to what is trained on: holdout, subgroup and noise, fixed over its executions."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from noisegate.errors import FieldError, InvalidSpec
from noisegate.learning.subgroups import ScoredImages, Subgroup, choose_subgroup
from noisegate.noise.drawing import noise_chunks
from noisegate.seeds import derive_seed
from noisegate.spec import ClassifierExperiment

Labels = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class CellData:
    """A dataset at the cell's image size. Arrays may be read-only memory maps; labels are 0 … len(classes) − 1."""

    classes: tuple[str, ...]
    train_images: UInt8[np.ndarray, "train size size 3"]
    train_labels: Int64[np.ndarray, " train"]
    test_images: UInt8[np.ndarray, "test size size 3"]
    test_labels: Int64[np.ndarray, " test"]
    dataset_hash: str


@dataclass(frozen=True)
class PreparedCell:
    """A cell ready to train: fixed over all of its executions. The noise class's label is len(classes)."""

    spec: ClassifierExperiment
    cell: int
    classes: tuple[str, ...]
    dataset_hash: str
    images: UInt8[np.ndarray, "n size size 3"]
    labels: Int64[np.ndarray, " n"]
    known_images: int
    subgroup: Subgroup | None
    holdout_images: UInt8[np.ndarray, "held size size 3"]
    holdout_labels: Int64[np.ndarray, " held"]
    test_images: UInt8[np.ndarray, "test size size 3"]
    test_labels: Int64[np.ndarray, " test"]

    @property
    def outputs(self) -> int:
        """The number of logits: the known classes, and noise if the cell has a noise class."""
        return len(self.classes) + self.spec.has_noise_class


def prepare_cell(
    spec: ClassifierExperiment,
    data: CellData,
    cell: int,
    between_chunks: Callable[[], None] = lambda: None,
    scored: ScoredImages | None = None,
) -> PreparedCell:
    """Set the holdout aside, choose the subgroup and draw the noise, all fixed over the cell's executions.

    The holdout depends on the experiment's seed alone, so all cells with the same share set the same images aside.
    1× noise is the mean class size of the whole training set, holdout included. Each image is copied at most once.

    Args:
        spec: one cell's spec, with an empty sweep.
        cell: its number in the experiment.
        between_chunks: called every second or so while noise is drawn. Whatever it raises passes through.
        scored: what the base execution says of every training image, holdout included; only a subgroup needs it.

    Raises:
        InvalidSpec: the subgroup has nothing to choose from, or is smaller than a batch.
    """
    assert not spec.sweep
    assert data.train_images.shape[1:] == (spec.image_size, spec.image_size, 3)
    held = holdout_mask(data.train_labels, spec.holdout, derive_seed(spec.seed, "holdout"))
    kept = np.flatnonzero(~held)
    subgroup = _subgroup(spec, kept, scored, derive_seed(spec.seed, "control", cell)) if spec.subgroup else None
    kept = subgroup.indices if subgroup else kept
    class_size = len(data.train_labels) / len(data.classes)
    noise = spec.count_noise_images(class_size)
    images = np.empty((len(kept) + noise, *data.train_images.shape[1:]), dtype=np.uint8)
    # With mode="raise" NumPy would gather into a second buffer first; these indices are in range by construction.
    np.take(data.train_images, kept, axis=0, out=images[: len(kept)], mode="clip")
    _fill_with_noise(images, len(kept), spec, class_size, derive_seed(spec.seed, "noise", cell), between_chunks)
    labels = np.full(len(images), len(data.classes), dtype=np.int64)
    labels[: len(kept)] = data.train_labels[kept]
    return PreparedCell(
        spec=spec,
        cell=cell,
        classes=data.classes,
        dataset_hash=data.dataset_hash,
        images=images,
        labels=labels,
        known_images=len(kept),
        subgroup=subgroup,
        holdout_images=data.train_images[held],
        holdout_labels=data.train_labels[held],
        test_images=data.test_images,
        test_labels=data.test_labels,
    )


def holdout_mask(labels: Labels, share: float, seed: int) -> Bool[np.ndarray, " n"]:
    """Which images are held out: round(share · n) of them, each class within one of its share.

    A class keeps at least one image to train on, so classes too small to give their share give less. A share above 0 holds
    out at least one image.

    Args:
        share: 0 … 1, 1 excluded.
    """
    held = np.zeros(len(labels), dtype=np.bool_)
    if share == 0:
        return held
    generator = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    # Rounding the running total, not each class, keeps the sum right for many small classes.
    running = np.rint(np.cumsum(counts) * share).astype(np.int64)
    quotas = np.minimum(np.diff(running, prepend=0), counts - 1)
    if not quotas.any():
        quotas[counts.argmax()] = 1
    for name, quota in zip(classes, quotas, strict=True):
        held[generator.permutation(np.flatnonzero(labels == name))[:quota]] = True
    return held


def _subgroup(
    spec: ClassifierExperiment, kept: Int64[np.ndarray, " kept"], scored: ScoredImages | None, seed: int
) -> Subgroup:
    """The cell's subgroup, as indices into the dataset's training images."""
    assert spec.subgroup, "the cell has a subgroup"
    assert scored, "a subgroup is chosen by scores"
    chosen = choose_subgroup(spec.subgroup, scored.of(kept), seed)
    size, batch_size = len(chosen.indices), spec.training.batch_size
    if size < batch_size:
        message = f"leaves {size} training images, fewer than a batch of {batch_size}"
        raise InvalidSpec([FieldError("subgroup.fraction", message, "Take a larger share, or smaller batches.")])
    return dataclasses.replace(chosen, indices=kept[chosen.indices])


def _fill_with_noise(
    images: UInt8[np.ndarray, "n size size 3"],
    known: int,
    spec: ClassifierExperiment,
    class_size: float,
    seed: int,
    between_chunks: Callable[[], None],
) -> None:
    """Overwrite everything behind the first `known` images with the cell's kinds of noise, one after another."""
    generator = np.random.default_rng(seed)
    start = known
    for noise, count in spec.noise_counts(class_size):
        # Noise made of training images takes those of the cell: the holdout must stay unseen.
        for place, chunk in noise_chunks(generator, noise, count, spec.image_size, images[:known]):
            images[start + place.start : start + place.stop] = chunk
            between_chunks()
        start += count
    assert start == len(images)
