"""One cell from its dataset to what is trained on: holdout or folds, subgroup and noise, fixed over its executions."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from noisegate.errors import FieldError, InvalidSpec
from noisegate.learning.encoding import Encoder
from noisegate.learning.folds import fold_numbers
from noisegate.learning.regularisation import choose_weight_decay
from noisegate.learning.subgroups import ScoredImages, Subgroup, choose_subgroup
from noisegate.networks.preprocessing import Inputs
from noisegate.noise import NoiseFamily
from noisegate.noise.drawing import noise_chunks
from noisegate.noise.images import places_in_turn
from noisegate.regularisation import Regularisation
from noisegate.seeds import derive_seed
from noisegate.spec import ClassifierExperiment, SubgroupSpec, TrainingSpec
from noisegate.spec.recipes import LinearRecipe

Labels = Int64[np.ndarray, " n"]
Images = UInt8[np.ndarray, "n size size 3"]

# Of the known training images, for what only wants to know what kind of images they are.
_SAMPLED = 2000
# Of training images that noise is made of, where the images themselves are not trained on: 1,700 of 224 pixels a side.
_SOURCE_BYTES = 2**28


@dataclass(frozen=True)
class CellFeatures:
    """What a backbone has computed of a dataset's images, and the backbone itself. Arrays may be read-only memory maps.

    `flipped` are those of the training images mirrored left to right; None where nothing asks for them.
    """

    train: Float32[np.ndarray, "train ..."]
    test: Float32[np.ndarray, "test ..."]
    encoder: Encoder
    flipped: Float32[np.ndarray, "train ..."] | None = None


@dataclass(frozen=True)
class CellData:
    """A dataset at the cell's image size. Arrays may be read-only memory maps; labels are 0 … len(classes) − 1.

    `features` are those of the same images in the same order; None for networks that are trained on images. Where `train_rows`
    is given, training takes these rows of the training images and features alone, and `train_labels` are theirs.
    """

    classes: tuple[str, ...]
    train_images: UInt8[np.ndarray, "train size size 3"]
    train_labels: Int64[np.ndarray, " train"]
    test_images: UInt8[np.ndarray, "test size size 3"]
    test_labels: Int64[np.ndarray, " test"]
    dataset_hash: str
    features: CellFeatures | None = None
    train_rows: Int64[np.ndarray, " train"] | None = None

    @property
    def train_inputs(self) -> Inputs:
        """What networks are trained on: the images, or the features of them. All rows, also those that are not taken."""
        return self.features.train if self.features else self.train_images

    @property
    def taken_inputs(self) -> Inputs:
        """The rows of them that training takes."""
        return self.train_inputs if self.train_rows is None else self.train_inputs[self.train_rows]

    @property
    def test_inputs(self) -> Inputs:
        """The same of the test set."""
        return self.features.test if self.features else self.test_images

    def rows(self, places: Int64[np.ndarray, " places"]) -> Int64[np.ndarray, " places"]:
        """Where the training images lie whose labels are at these places."""
        return places if self.train_rows is None else self.train_rows[places]

    def only(self, classes: Sequence[str]) -> "CellData":
        """The images of some of its classes. Training images are not copied: there may be gigabytes of them."""
        assert self.train_rows is None, "all classes are there"
        new_label = np.full(len(self.classes), -1, dtype=np.int64)
        new_label[[self.classes.index(name) for name in classes]] = np.arange(len(classes))
        train, test = (np.flatnonzero(new_label[labels] >= 0) for labels in (self.train_labels, self.test_labels))
        features = self.features and dataclasses.replace(self.features, test=self.features.test[test])
        return dataclasses.replace(
            self,
            classes=tuple(classes),
            train_labels=new_label[self.train_labels[train]],
            train_rows=train,
            test_images=self.test_images[test],
            test_labels=new_label[self.test_labels[test]],
            features=features,
        )


@dataclass(frozen=True)
class PreparedCell:
    """A cell ready to train: fixed over all of its executions. The noise class's label is len(classes).

    `inputs` are images, or features where `encoder` computes them; the first `known_images` of them are not noise. `flipped` are
    the features of the same images, noise too, mirrored left to right; None where nothing asks for them.
    `sample_images` are some of the known training images, `test_images` all test images, whatever the inputs are. `training` is
    the spec's, with the weight decay that `regularisation` tells of where the spec leaves it to be chosen. `folds` holds the fold
    of each input; None where nothing is cross-validated. `known_rows` and `holdout_rows` are the places of the known inputs and of
    the holdout among the dataset's training images.
    """

    spec: ClassifierExperiment
    training: TrainingSpec
    cell: int
    classes: tuple[str, ...]
    dataset_hash: str
    inputs: Inputs
    labels: Int64[np.ndarray, " n"]
    known_images: int
    known_rows: Int64[np.ndarray, " known"]
    subgroup: Subgroup | None
    holdout_inputs: Inputs
    holdout_rows: Int64[np.ndarray, " held"]
    holdout_labels: Int64[np.ndarray, " held"]
    test_inputs: Inputs
    test_labels: Int64[np.ndarray, " test"]
    sample_images: UInt8[np.ndarray, "sample size size 3"]
    test_images: UInt8[np.ndarray, "test size size 3"]
    encoder: Encoder | None = None
    flipped: Inputs | None = None
    folds: Int64[np.ndarray, " n"] | None = None
    regularisation: Regularisation | None = None
    # The features that cards ask for of unknown images, by what they are of: the same for all executions, and dear.
    encoded: dict[str, Inputs] = field(default_factory=dict, repr=False, compare=False)

    def encode(self, name: str, images: Callable[[], Iterator[Images]], between_batches: Callable[[], None]) -> Inputs:
        """The features of these images by `encoder`, computed when first asked for; later ones of that name are the same."""
        assert self.encoder is not None, "asked of cells that are trained on features"
        if name not in self.encoded:
            parts = [self.encoder(chunk, between_batches) for chunk in images()]
            self.encoded[name] = np.concatenate(parts)
        return self.encoded[name]

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
    others: Mapping[str, CellData] = MappingProxyType({}),
    excluded: Sequence[int] = (),
    not_trained: Sequence[int] = (),
) -> PreparedCell:
    """Set the holdout aside, choose the subgroup, draw the noise and choose a weight decay that is auto, all fixed over the
    cell's executions.

    The holdout depends on the experiment's seed alone, so all cells with the same share set the same images aside.
    1× noise is the mean class size of the whole training set, holdout included. Each image is copied at most once.

    Args:
        spec: one cell's spec, with an empty sweep.
        cell: its number in the experiment.
        between_chunks: called every second or so. Whatever it raises passes through.
        scored: what the base execution says of every training image, holdout included; only a subgroup needs it.
        others: other datasets at the cell's image size, by the path of the field that names them.
        excluded: places among the dataset's training images that are neither trained on nor held out; `not_trained` are those that
            are not trained on, and may be held out.

    Raises:
        InvalidSpec: the subgroup has nothing to choose from, or is smaller than a batch, or has too few images to choose a weight
            decay on.
    """
    assert not spec.sweep
    assert data.train_images.shape[1:] == (spec.image_size, spec.image_size, 3)
    held, kept = _held_and_kept(spec, data, excluded, not_trained)
    subgroup = _subgroup(spec, kept, scored, derive_seed(spec.seed, "control", cell)) if spec.needs_base else None
    kept = subgroup.indices if subgroup else kept
    rows, held_rows = data.rows(kept), data.rows(held)
    inputs, flipped = _with_noise(rows, data, others, spec, derive_seed(spec.seed, "noise", cell), between_chunks)
    labels = np.full(len(inputs), len(data.classes), dtype=np.int64)
    labels[: len(kept)] = data.train_labels[kept]
    prepared = PreparedCell(
        spec=spec,
        training=spec.training,
        cell=cell,
        classes=data.classes,
        dataset_hash=data.dataset_hash,
        inputs=inputs,
        labels=labels,
        known_images=len(kept),
        known_rows=rows,
        subgroup=subgroup,
        holdout_inputs=data.train_inputs[held_rows],
        holdout_rows=held_rows,
        holdout_labels=data.train_labels[held],
        test_inputs=data.test_inputs,
        test_labels=data.test_labels,
        sample_images=data.train_images[rows[:_SAMPLED]],
        test_images=data.test_images,
        encoder=data.features.encoder if data.features else None,
        flipped=flipped,
    )
    return _with_folds(prepared, between_chunks)


def _held_and_kept(
    spec: ClassifierExperiment, data: CellData, excluded: Sequence[int], not_trained: Sequence[int]
) -> tuple[Int64[np.ndarray, " held"], Int64[np.ndarray, " kept"]]:
    """Where the labels lie of the training images that are held out, and of those that are trained on."""
    mask = holdout_mask(data.train_labels, spec.holdout, derive_seed(spec.seed, "holdout"))
    held, kept = np.flatnonzero(mask), np.flatnonzero(~mask)
    if len(excluded) or len(not_trained):
        held = held[~np.isin(data.rows(held), excluded)]
        kept = kept[~np.isin(data.rows(kept), [*excluded, *not_trained])]
    return held, kept


def _with_folds(cell: PreparedCell, between_steps: Callable[[], None]) -> PreparedCell:
    """The cell with what is cross-validated: its folds, and the weight decay if that is auto."""
    spec, training = cell.spec, cell.training
    decay_is_open = isinstance(training, LinearRecipe) and training.weight_decay == "auto"
    if not decay_is_open and spec.calibration == "holdout":
        return cell
    repeats = cell.subgroup.indices if cell.subgroup else None
    if cell.known_images < 2 or (repeats is not None and (repeats == repeats[0]).all()):
        message = "is auto, which takes two training images or more, and the subgroup leaves one"
        raise InvalidSpec([FieldError("training.weight_decay", message, "Give a number, such as 0.1.")])
    folds = fold_numbers(cell.labels, cell.known_images, repeats, derive_seed(spec.seed, "folds"))
    if not decay_is_open:
        return dataclasses.replace(cell, folds=folds)
    chosen = choose_weight_decay(
        cell.inputs,
        cell.labels,
        folds,
        known_images=cell.known_images,
        outputs=cell.outputs,
        spec=training,
        seed=derive_seed(spec.seed, "weight_decay", cell.cell),
        noise_weight=spec.noise_weight,
        between_steps=between_steps,
    )
    settled = training.model_copy(update={"weight_decay": chosen.weight_decay})
    return dataclasses.replace(cell, folds=folds, training=settled, regularisation=chosen)


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
    assert isinstance(spec.subgroup, SubgroupSpec), "the cell has a subgroup that a base chooses"
    assert scored, "a subgroup is chosen by scores"
    chosen = choose_subgroup(spec.subgroup, scored.of(kept), seed)
    size, batch_size = len(chosen.indices), spec.training.batch_size
    if size < batch_size:
        message = f"leaves {size} training images, fewer than a batch of {batch_size}"
        raise InvalidSpec([FieldError("subgroup.fraction", message, "Take a larger share, or smaller batches.")])
    return dataclasses.replace(chosen, indices=kept[chosen.indices])


def _with_room(known: Inputs, kept: Int64[np.ndarray, " kept"], noise: int) -> Inputs:
    """Those of the known inputs that are kept, and room for noise behind them."""
    inputs: Inputs = np.empty((len(kept) + noise, *known.shape[1:]), dtype=known.dtype)
    # With mode="raise" NumPy would gather into a second buffer first; these indices are in range by construction.
    np.take(known, kept, axis=0, out=inputs[: len(kept)], mode="clip")
    return inputs


def _with_noise(
    rows: Int64[np.ndarray, " kept"],
    data: CellData,
    others: Mapping[str, CellData],
    spec: ClassifierExperiment,
    seed: int,
    between_chunks: Callable[[], None],
) -> tuple[Inputs, Inputs | None]:
    """What is trained on: the inputs of these rows, noise behind them; and the same mirrored, where features of that are there."""
    noise = spec.count_noise_images(len(data.train_labels) / len(data.classes))
    mirrored = data.features.flipped if data.features else None
    inputs = _with_room(data.train_inputs, rows, noise)
    flipped = None if mirrored is None else _with_room(mirrored, rows, noise)
    _fill_with_noise(inputs, flipped, rows, data, others, spec, seed, between_chunks)
    return inputs, flipped


def _fill_with_noise(
    inputs: Inputs,
    flipped: Inputs | None,
    rows: Int64[np.ndarray, " kept"],
    data: CellData,
    others: Mapping[str, CellData],
    spec: ClassifierExperiment,
    seed: int,
    between_chunks: Callable[[], None],
) -> None:
    """Overwrite everything behind the known inputs with the cell's kinds of noise, one after another."""
    generator = np.random.default_rng(seed)
    start, class_size = len(rows), len(data.train_labels) / len(data.classes)
    # Noise made of training images takes those of the cell: the holdout must stay unseen.
    sources = inputs[:start] if data.features is None else _sources(data.train_images, rows)
    for noise, count in spec.noise_counts(class_size):
        if (field := spec.noise_source(noise)) is not None:
            _take_images(inputs, flipped, slice(start, start + count), others[field], noise, generator)
            start += count
            continue
        for place, chunk in noise_chunks(generator, noise, count, spec.image_size, sources):
            there = slice(start + place.start, start + place.stop)
            inputs[there] = data.features.encoder(chunk, between_chunks) if data.features else chunk
            if flipped is not None and data.features is not None:
                flipped[there] = data.features.encoder.mirrored(chunk, between_chunks)
            between_chunks()
        start += count
    assert start == len(inputs)


def _take_images(
    inputs: Inputs,
    flipped: Inputs | None,
    there: slice,
    other: CellData,
    noise: NoiseFamily,
    generator: np.random.Generator,
) -> None:
    """Training images of another dataset as noise, or their features, which are there already."""
    taken = [place for place, name in enumerate(other.classes) if name not in noise.excluded]
    rows = np.flatnonzero(np.isin(other.train_labels, taken))
    chosen = rows[places_in_turn(generator, there.stop - there.start, len(rows))]
    inputs[there] = other.train_inputs[chosen]
    if flipped is not None:
        assert other.features is not None, "of the same network as the cell's"
        assert other.features.flipped is not None, "asked for alike"
        flipped[there] = other.features.flipped[chosen]


def _sources(images: Images, kept: Int64[np.ndarray, " kept"]) -> UInt8[np.ndarray, "_ size size 3"]:
    """Training images to make noise of: all that are kept, or as many in even steps as may be held in memory at once."""
    most = max(1, _SOURCE_BYTES // images[0].nbytes)
    chosen: np.ndarray = images[kept if len(kept) <= most else kept[np.arange(most) * len(kept) // most]]
    return chosen
