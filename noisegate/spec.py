"""What may be asked for. One type is request body, JSON column and trainer input. Imports pydantic and
our errors, nothing else.

A spec with a `sweep` stands for several cells; `ExperimentSpec.cells()` resolves it into one spec each.
"""

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator
from pydantic_core import ErrorDetails

from noisegate.errors import FieldError, InvalidSpec

NOISE_CLASS = "noise"
Probability = Annotated[float, Field(ge=0, lt=1)]
# Far beyond every cap, and small enough to be printed: the caps of the settings say what is really allowed.
_MOST = 1_000_000
Quantity = Annotated[
    float, Field(ge=0, le=_MOST, description="In units of the dataset's mean number of training images a class.")
]
# PostgreSQL stores no NUL character.
Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
PixelLevel = Annotated[int, Field(ge=0, le=255)]


class Strict(BaseModel):
    """Unknown fields are errors, values never change, and NaN is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LearningRateDrop(Strict):
    """The learning rate is multiplied by `factor` after every `every_epochs` epochs."""

    factor: float = Field(0.1, gt=0, le=1)
    every_epochs: int = Field(8, ge=1, le=_MOST)


class TrainingSpec(Strict):
    """Stochastic gradient descent with momentum; the defaults are the paper's recipe."""

    epochs: int = Field(40, ge=1, le=_MOST)
    batch_size: int = Field(128, ge=1, le=8192)
    learning_rate: float = Field(0.001, gt=0)
    learning_rate_drop: LearningRateDrop | None = LearningRateDrop(factor=0.1, every_epochs=8)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.004, ge=0, description="L2 on weights, not on biases.")
    first_layer_std: float = Field(
        0.0001,
        gt=0,
        description="Standard deviation of the first convolution's initial weights; 0.01 in the others.",
    )
    equal_updates: bool = Field(
        False,
        description="As many weight updates as the cell would make without its noise images: the control for more noise.",
    )
    precision: Literal["auto", "bfloat16", "float32"] = Field(
        "auto", description="auto takes bfloat16 autocast where the processor has it; the choice is recorded."
    )


class NoiseFilter(Strict):
    """Smooths each channel of each noise image; size 1 leaves it as it is."""

    kind: Literal["mean", "median"]
    size: Literal[1, 3, 5, 7]


class GaussianNoise(Strict):
    """Independent normal values for every pixel and channel, rounded and saturated to 0 … 255."""

    family: Literal["gaussian"]
    mean: float = Field(127, ge=-1000, le=1000)
    std: float = Field(70, ge=0, le=1000)
    quantity: Quantity = 1
    filter: NoiseFilter | None = None


class UniformNoise(Strict):
    """Independent whole numbers from `low` to `high`, both included, for every pixel and channel."""

    family: Literal["uniform"]
    low: PixelLevel = 0
    high: PixelLevel = 255
    quantity: Quantity = 1
    filter: NoiseFilter | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "UniformNoise":
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not be above high ({self.high})")
        return self


NoiseSpec = Annotated[GaussianNoise | UniformNoise, Field(discriminator="family")]


class Caps(Strict):
    """The most that one experiment may ask for; a server's settings override the defaults."""

    epochs: int = Field(500, ge=1)
    executions: int = Field(100, ge=1)
    cells: int = Field(100, ge=1)
    image_size: int = Field(224, ge=8)
    quantity: float = Field(100, ge=0)
    batch_pixels: int = Field(2**24, ge=1, description="Pixels of one batch: training.batch_size × image_size².")
    training_bytes: int = Field(4 * 2**30, ge=1, description="Training images of one cell, noise included, as uint8.")


class ExperimentSpec(Strict):
    """An experiment: what to train on, how, with which noise class, how often, and what to vary."""

    kind: Literal["training"] = "training"
    name: Line = ""
    dataset: Line = Field(min_length=1, description="Id or name of a dataset.")
    network: Literal["paper"] = "paper"
    image_size: int = Field(32, ge=8, le=4096)
    training: TrainingSpec = TrainingSpec()
    noise: NoiseSpec | None = Field(None, description="The noise class; null or quantity 0 trains without one.")
    holdout: Probability = Field(
        0.1,
        description="Share of the training images kept out of training to calibrate the threshold; 0 in the paper's presets.",
    )
    executions: int = Field(3, ge=1, le=_MOST, description="Independent training runs of each cell.")
    seed: int = Field(0, ge=0, lt=2**63)
    keep_models: Literal["best", "all", "none"] = Field(
        "best", description="Which trained models a cell keeps: the best by holdout accuracy, all of them, or none."
    )
    sweep: dict[str, list[JsonValue]] = Field(
        default_factory=dict,
        max_length=8,
        description="Any scalar or sub-object of the spec by its path, with the values it takes; cells are the product.",
    )

    @property
    def has_noise_class(self) -> bool:
        return self.noise is not None and self.noise.quantity > 0

    def count_noise_images(self, mean_class_size: float) -> int:
        """How many noise images the cell trains on, given the dataset's mean number of training images a class."""
        return max(1, round(self.noise.quantity * mean_class_size)) if self.noise and self.noise.quantity else 0

    def count_cells(self) -> int:
        """The number of cells, without building them: a sweep can name astronomically many."""
        return math.prod(len(values) for values in self.sweep.values())

    def cells(self) -> list["CellPoint"]:
        """Every point of the sweep, in the order the sweep is written, the last path varying fastest.

        Raises:
            InvalidSpec: a path that does not exist, an empty list, or a value that its field refuses.
        """
        _check_sweep_paths(self)
        plain = self.model_dump(mode="json") | {"sweep": {}}
        points = _product(self.sweep)
        cells = [CellPoint(point=point, spec=_resolve(plain, point, index)) for index, point in enumerate(points)]
        if len({cell.spec.model_dump_json() for cell in cells}) < len(cells):
            raise InvalidSpec(
                [FieldError("sweep", "gives the same cell twice", "Give each value once: 1 and 1.0 are one.")]
            )
        return cells


class CellPoint(Strict):
    """One cell: the swept values that make it what it is, and the whole spec they give (with an empty sweep)."""

    point: dict[str, JsonValue]
    spec: ExperimentSpec


# The experiment's identity, and what must be alike in all of its cells for them to be compared.
_NOT_SWEPT = {"kind", "name", "dataset", "executions", "seed", "sweep", "keep_models"}


def parse_spec(document: object) -> ExperimentSpec:
    """The spec in a JSON document.

    Raises:
        InvalidSpec: with one entry a wrong field.
    """
    try:
        return ExperimentSpec.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(field_errors(error.errors())) from error


def field_errors(errors: Iterable[ErrorDetails], prefix: str = "") -> list[FieldError]:
    """pydantic's errors as paths (`noise.quantity`), messages and remedies."""
    return [FieldError(_path(error, prefix), error["msg"], _remedy(error)) for error in errors]


def check_caps(spec: ExperimentSpec, caps: Caps) -> None:
    """Refuse a spec that asks for more than `caps`. The sweep is counted before it is built.

    Raises:
        InvalidSpec: with one entry a field over its cap.
    """
    errors = list(_over_caps(spec, caps))
    if spec.count_cells() > caps.cells:
        message = f"stands for {spec.count_cells()} cells; this server allows {caps.cells}"
        errors.append(FieldError("sweep", message, "Sweep fewer values, or post several experiments."))
    if errors:
        raise InvalidSpec(errors)


def check_training_bytes(spec: ExperimentSpec, caps: Caps, *, training_images: int, mean_class_size: float) -> None:
    """Refuse a cell whose training images would not fit.

    Raises:
        InvalidSpec: naming `noise.quantity`, with the largest quantity that fits.
    """
    bytes_an_image = 3 * spec.image_size**2
    wanted = (training_images + spec.count_noise_images(mean_class_size)) * bytes_an_image
    if wanted <= caps.training_bytes:
        return
    if training_images * bytes_an_image > caps.training_bytes:
        message = f"needs {training_images * bytes_an_image:,} bytes without any noise; this server allows {caps.training_bytes:,}"
        raise InvalidSpec([FieldError("dataset", message, "Use fewer images, or pack them at a smaller image_size.")])
    room = (caps.training_bytes / bytes_an_image - training_images) / mean_class_size
    largest = math.floor(max(0.0, room) * 100) / 100
    message = f"makes {wanted:,} bytes of training images a cell; this server allows {caps.training_bytes:,}"
    raise InvalidSpec([FieldError("noise.quantity", message, f"At most {largest:g} fits with this dataset.")])


def _over_caps(spec: ExperimentSpec, caps: Caps) -> Iterator[FieldError]:
    quantity = spec.noise.quantity if spec.noise else 0
    asked: list[tuple[str, float, float]] = [
        ("training.epochs", spec.training.epochs, caps.epochs),
        ("executions", spec.executions, caps.executions),
        ("image_size", spec.image_size, caps.image_size),
        ("noise.quantity", quantity, caps.quantity),
        ("training.batch_size", spec.training.batch_size, caps.batch_pixels // spec.image_size**2),
    ]
    for field, value, cap in asked:
        if value > cap:
            yield FieldError(field, f"is {value:g}; this server allows {cap:g}", f"Ask for at most {cap:g}.")


def _check_sweep_paths(spec: ExperimentSpec) -> None:
    errors = []
    for path, values in spec.sweep.items():
        if path.split(".")[0] in _NOT_SWEPT:
            errors.append(FieldError(f"sweep.{path}", "cannot be swept", "Post one experiment for each value instead."))
        if not values:
            errors.append(
                FieldError(f"sweep.{path}", "has no values", "Give at least one value, or leave the path out.")
            )
        if len({repr(value) for value in values}) < len(values):
            errors.append(FieldError(f"sweep.{path}", "names a value twice", "Give each value once."))
    paths = list(spec.sweep)
    errors += [
        FieldError(f"sweep.{inner}", f"lies within {outer}, which is swept too", "Sweep one of the two.")
        for outer, inner in itertools.permutations(paths, 2)
        if inner.startswith(outer + ".")
    ]
    if errors:
        raise InvalidSpec(errors)


def _product(sweep: Mapping[str, list[JsonValue]]) -> list[dict[str, JsonValue]]:
    return [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]


def _resolve(plain: dict[str, Any], point: Mapping[str, JsonValue], index: int) -> ExperimentSpec:
    document = copy.deepcopy(plain)
    for path, value in point.items():
        _put(document, path, value)
    try:
        return ExperimentSpec.model_validate(document)
    except ValidationError as error:
        found = field_errors(error.errors())
        described = ", ".join(f"{path}={value}" for path, value in point.items())
        raise InvalidSpec(
            [FieldError(f"sweep.{e.field}", f"{e.message} (cell {index}: {described})", e.remedy) for e in found]
        ) from error


def _put(document: dict[str, Any], path: str, value: JsonValue) -> None:
    *parents, last = path.split(".")
    place: Any = document
    for depth, key in enumerate(parents):
        place = place.get(key) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            stem = ".".join(parents[: depth + 1])
            remedy = f"Set {stem} to an object in the spec, or sweep {stem} itself."
            raise InvalidSpec([FieldError(f"sweep.{path}", f"{stem} holds no fields in this spec", remedy)])
    if last not in place:
        known = ", ".join(sorted(place))
        raise InvalidSpec([FieldError(f"sweep.{path}", "names no field of the spec", f"Fields there: {known}.")])
    place[last] = value


def _path(error: ErrorDetails, prefix: str) -> str:
    # The tag that pydantic puts in for a discriminated union is a family's name, never a field of ours.
    tags = {"gaussian", "uniform"}
    parts = [str(part) for part in error["loc"] if part not in tags]
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
