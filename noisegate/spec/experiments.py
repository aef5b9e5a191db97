"""What may be asked for. One type is request body, JSON column and trainer input. Imports pydantic and
our errors, nothing else.

`ExperimentSpec` is a union over `kind`; without one, `training` is meant. A spec with a `sweep` stands for several
cells; `cells_of` (noisegate.spec.sweeps) resolves it into one spec each.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from noisegate.documents import MOST, Strict
from noisegate.errors import FieldError, InvalidSpec
from noisegate.noise.families import NOISE_TAGS, NoiseSpec, OneOrSeveralNoises
from noisegate.spec.recipes import TrainingSpec

NOISE_CLASS = "noise"
Probability = Annotated[float, Field(ge=0, lt=1)]
# PostgreSQL stores no NUL character.
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class SubgroupSpec(Strict):
    """Retraining on the union of one part of the correctly classified training images and one of the misclassified.

    Both are chosen by what a base execution, trained without noise on all of them, says of each image.
    """

    correct: Literal["lc", "hc"] = Field(description="Of the correctly classified: low or high confidence.")
    wrong: Literal["ls", "hs"] = Field(description="Of the misclassified: low or high spuriousness.")
    fraction: float = Field(gt=0, le=1, description="The share of each that is taken.")
    selection: Literal["definition", "as_published"] = Field(
        "definition",
        description="definition: the lowest and highest, as the paper defines them. as_published: what the authors' script "
        "did, where lc is all misclassified images followed by correct ones of rising confidence, cut at the size of the "
        "correct part; ls the first correct ones in file order; and duplicates stay.",
    )
    control: Literal["random", "stratified"] | None = Field(
        None,
        description="Instead of the subgroup, as many images at random (random), or as many at random of each class as the "
        "subgroup has (stratified): what its size alone, or its size and class balance, would do.",
    )

    def check_counts(self, *, correct: int, wrong: int) -> None:
        """Refuse a subgroup of which one half has nothing to choose from.

        Args:
            correct: how many training images the base execution classifies correctly, and `wrong`, how many not.

        Raises:
            InvalidSpec: naming the half.
        """
        if wrong == 0:
            message = f"{self.wrong} has no image: the base execution misclassifies none of the training images"
            remedy = "Train the base for fewer epochs, name another base, or leave the subgroup out."
            raise InvalidSpec([FieldError("subgroup.wrong", message, remedy)])
        if correct == 0:
            message = f"{self.correct} has no image: the base execution classifies no training image correctly"
            remedy = "Train the base for longer, or name another base."
            raise InvalidSpec([FieldError("subgroup.correct", message, remedy)])


class BaseReference(Strict):
    """An execution of an earlier experiment on the same dataset."""

    experiment: Line = Field(min_length=1)
    cell: int = Field(0, ge=0, le=MOST)
    execution: int = Field(0, ge=0, le=MOST)


class _Experiment(Strict):
    """What every kind of experiment has."""

    # The experiment's identity, and what must be alike in all of its cells for them to be compared.
    not_swept: ClassVar[frozenset[str]] = frozenset({"kind", "name", "executions", "seed", "sweep"})

    name: Line = ""
    executions: int = Field(3, ge=1, le=MOST, description="Independent runs of each cell.")
    seed: int = Field(0, ge=0, lt=2**63)
    sweep: dict[str, list[JsonValue]] = Field(
        default_factory=dict,
        max_length=8,
        description="Any scalar or sub-object of the spec by its path, with the values it takes; cells are the product.",
    )

    @property
    def epochs_per_execution(self) -> int | None:
        """None for kinds that have no epochs."""
        return None

    def count_cells(self) -> int:
        """The number of cells, without building them: a sweep can name astronomically many."""
        return math.prod(len(values) for values in self.sweep.values())


class ClassifierExperiment(_Experiment):
    """What experiments that train image classifiers have in common: on what, how, with which noise class or subgroup."""

    not_swept: ClassVar[frozenset[str]] = _Experiment.not_swept | {"dataset", "keep_models", "base"}

    dataset: Line = Field(min_length=1, description="Id or name of a dataset.")
    network: Literal["paper"] = "paper"
    image_size: int = Field(32, ge=8, le=4096)
    training: TrainingSpec = TrainingSpec()
    noise: OneOrSeveralNoises | None = Field(
        None,
        description="The noise class; several kinds may fill it together. null or quantity 0 trains without one.",
    )
    subgroup: SubgroupSpec | None = Field(None, description="Which training images to use; null for all of them.")
    base: BaseReference | None = Field(
        None,
        description="The execution whose answers decide over the subgroups; null trains one for this experiment.",
    )
    holdout: Probability = Field(
        0.1,
        description="Share of the training images kept out of training to calibrate the threshold; 0 in the paper's presets.",
    )
    keep_models: Literal["best", "all", "none"] = Field(
        "best", description="Which trained models a cell keeps: the best by holdout accuracy, all of them, or none."
    )

    @property
    def epochs_per_execution(self) -> int:
        return self.training.epochs

    @property
    def noises(self) -> list[NoiseSpec]:
        """The kinds of noise that fill the noise class; none without one."""
        several = self.noise if isinstance(self.noise, list) else [self.noise] if self.noise else []
        return [noise for noise in several if noise.quantity > 0]

    @property
    def has_noise_class(self) -> bool:
        return bool(self.noises)

    def noise_counts(self, mean_class_size: float) -> list[tuple[NoiseSpec, int]]:
        """How many images of each kind of noise the cell trains on, given the mean number of training images a class."""
        return [(noise, max(1, round(noise.quantity * mean_class_size))) for noise in self.noises]

    def count_noise_images(self, mean_class_size: float) -> int:
        """How many noise images that is in all."""
        return sum(count for _, count in self.noise_counts(mean_class_size))


class TrainingExperiment(ClassifierExperiment):
    """Train classifiers and measure them on the test set."""

    kind: Literal["training"] = "training"


class HybridCutoffs(Strict):
    """Where the two filters that make a hybrid halve a frequency's amplitude, in cycles an image."""

    low_cutoff: float = Field(4, gt=0, le=4096, description="Of the low-pass filter, in cycles an image.")
    high_cutoff: float = Field(4, gt=0, le=4096, description="Of the high-pass filter, in cycles an image.")


class HybridPairs(HybridCutoffs):
    """Hybrids of test images of two classes: low frequencies of one, high frequencies of the other."""

    # JSON has no tuples: a list is what comes.
    classes: Annotated[tuple[Line, Line], Field(strict=False)] | None = Field(
        None, description="The classes that give the low and the high frequencies; null takes the dataset's first two."
    )
    pairs: int = Field(500, ge=1, le=100_000, description="Drawn with replacement where a class has fewer images.")

    def positions_in(self, known: Sequence[str]) -> tuple[int, int]:
        """The places, among the dataset's classes, of those that give the low and the high frequencies.

        Raises:
            InvalidSpec: naming `hybrids.classes`, if they are not two of them.
        """
        low, high = self.classes or (known[0], known[1])
        unknown = [name for name in (low, high) if name not in known]
        if unknown:
            message = f"the dataset has no class {' and no class '.join(map(repr, unknown))}"
            raise InvalidSpec([FieldError("hybrids.classes", message, f"Choose two of: {', '.join(known)}.")])
        if low == high:
            remedy = "Name two classes: what a hybrid is taken for must tell them apart."
            raise InvalidSpec([FieldError("hybrids.classes", f"names {low!r} twice", remedy)])
        return known.index(low), known.index(high)


class HybridsExperiment(ClassifierExperiment):
    """Train classifiers, then ask them for hybrids of test images: how often is one accepted, and as what? (Figure 6)"""

    kind: Literal["hybrids"] = "hybrids"
    hybrids: HybridPairs = HybridPairs()


class CurveFittingExperiment(_Experiment):
    """Fit a network with one hidden layer to a step at 0.5, knowing it only in part of [0, 1]. (Figure 5)"""

    kind: Literal["curve_fitting"] = "curve_fitting"
    training_set: Literal["middle", "ends"] = Field(
        "middle", description="middle: x from [0.4, 0.6]; ends: half of x from [0, 0.1) and half from (0.9, 1]."
    )
    samples: int = Field(40_000, ge=10, le=MOST, description="Points to fit; those of `ends` are shared equally.")
    hidden_units: int = Field(10, ge=1, le=100)
    iterations: int = Field(50, ge=1, le=10_000, description="At most so many steps of the least-squares solver.")


class DecisionMapExperiment(_Experiment):
    """Classify clusters of points in the plane, and see which part of it goes to which class. (Figure 13)"""

    kind: Literal["decision_map"] = "decision_map"
    clusters: int = Field(4, ge=2, le=10)
    points_per_cluster: int = Field(200, ge=10, le=10_000)
    cluster_std: float = Field(
        0.05, gt=0, le=1, description="Of each cluster; the plane is the unit square, points outside are redrawn."
    )
    noise_quantity: float = Field(
        0, ge=0, le=100, description="Noise points, spread evenly over the plane, in units of points_per_cluster."
    )
    hidden_units: int = Field(64, ge=1, le=1024, description="In each of the two hidden layers.")
    epochs: int = Field(100, ge=1, le=10_000)

    @property
    def epochs_per_execution(self) -> int:
        return self.epochs


class PretrainedExperiment(_Experiment):
    """Register a network that somebody else has trained: torchvision's AlexNet with its ImageNet weights."""

    not_swept: ClassVar[frozenset[str]] = _Experiment.not_swept | {"network"}

    kind: Literal["pretrained"] = "pretrained"
    network: Literal["alexnet"] = "alexnet"
    executions: int = Field(1, ge=1, le=1)


def _kind_of(value: Any) -> str | None:
    return value.get("kind", "training") if isinstance(value, dict) else getattr(value, "kind", None)


ExperimentSpec = Annotated[
    Annotated[TrainingExperiment, Tag("training")]
    | Annotated[HybridsExperiment, Tag("hybrids")]
    | Annotated[CurveFittingExperiment, Tag("curve_fitting")]
    | Annotated[DecisionMapExperiment, Tag("decision_map")]
    | Annotated[PretrainedExperiment, Tag("pretrained")],
    Discriminator(_kind_of),
]
KINDS = ("training", "hybrids", "curve_fitting", "decision_map", "pretrained")

_ADAPTER: TypeAdapter[ExperimentSpec] = TypeAdapter(ExperimentSpec)


def parse_spec(document: object) -> ExperimentSpec:
    """The spec in a JSON document.

    Raises:
        InvalidSpec: with one entry a wrong field.
    """
    try:
        return _ADAPTER.validate_python(document)
    except ValidationError as error:
        raise InvalidSpec(spec_errors(error)) from error


def spec_errors(error: ValidationError) -> list[FieldError]:
    """What pydantic found wrong in a spec, by the paths of the spec."""
    return field_errors([entry | {"loc": _within_kind(entry)} for entry in error.errors()])


def _within_kind(error: ErrorDetails) -> tuple[int | str, ...]:
    # The union over `kind` puts the kind in front of every location, or nothing when the kind itself is wrong.
    return error["loc"][1:] if error["type"] != "union_tag_invalid" or error["loc"] else ("kind",)


def field_errors(errors: Iterable[ErrorDetails], prefix: str = "") -> list[FieldError]:
    """pydantic's errors as paths (`noise.quantity`), messages and remedies."""
    return [FieldError(_path(error, prefix), error["msg"], _remedy(error)) for error in errors]


def _path(error: ErrorDetails, prefix: str) -> str:
    parts = [str(part) for part in error["loc"] if part not in NOISE_TAGS]
    return prefix + (".".join(parts) or "body")


def _remedy(error: ErrorDetails) -> str | None:
    match error["type"]:
        case "extra_forbidden":
            return "Remove it, or check its spelling against /docs."
        case "missing":
            return "It is required."
        case _:
            context = error.get("ctx", {})
            bounds = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
            limits = [f"{word} {context[name]:g}" for name, word in bounds.items() if name in context]
            return f"Give a value {' and '.join(limits)}." if limits else None
