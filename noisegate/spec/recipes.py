"""How a network is trained: one class a recipe. What a recipe asks for stands here as numbers; torch carries it out elsewhere."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from noisegate.documents import MOST, OneOf, ParsedBy, Strict, wrong_field


@dataclass(frozen=True)
class Descent:
    """An optimizer by name, with its settings. `weight_decay` is on weights, not on biases nor on the scales of norms."""

    optimizer: Literal["sgd", "adamw"]
    weight_decay: float
    momentum: float = 0.0
    nesterov: bool = False


@dataclass(frozen=True)
class Augmentation:
    """How each image is changed at random each time it is shown.

    Attributes:
        flip: mirrored left to right, half of the time.
        crop_padding: moved by up to this number of pixels each way; what comes in from outside is the image's mirror image.
        cutout: the side of a gray square put over a random place, in pixels; 0 for none.
    """

    flip: bool
    crop_padding: int
    cutout: int


EqualUpdates = Annotated[
    bool,
    Field(
        description="As many weight updates as the cell would make without its noise images: the control for more noise."
    ),
]
AskedPrecision = Annotated[
    Literal["auto", "bfloat16", "float32"],
    Field(description="auto takes bfloat16 autocast where the processor has it; the choice is recorded."),
]


class TrainingSpec(Strict, ABC):
    """What every recipe has.

    A recipe says how fast to learn (`rate_at`), by which optimizer (`descent`), and how images are changed (`augmentation`).
    """

    recipe: str
    if TYPE_CHECKING:
        # Only for the type checker: pydantic would put inherited fields before a recipe's own, and stored specs have them in
        # another order.
        epochs: int
        batch_size: int
        equal_updates: EqualUpdates
        precision: AskedPrecision

    @property
    @abstractmethod
    def descent(self) -> Descent:
        """The optimizer and its settings."""

    @property
    def augmentation(self) -> Augmentation | None:
        """How images are changed at random; None if they are shown as they are."""
        return None

    @property
    def smoothing(self) -> float:
        """The share of each label that is spread over all outputs, 0 … 1."""
        return 0.0

    @property
    def average_decay(self) -> float | None:
        """Per update, of the exponential moving average of the weights that the network ends with; None for the last ones."""
        return None

    @property
    def stacks(self) -> bool:
        """Whether runs of it may take their steps as one (noisegate.learning.stacking)."""
        return False

    @property
    def needs_backbone(self) -> bool:
        """Whether it trains what lies on top of a backbone."""
        return False

    @property
    def initial_std(self) -> float | None:
        """Standard deviation of the first layer's initial weights; None where the network decides."""
        return None

    def updates_per_epoch(self, images: int) -> int:
        """Weight updates an epoch for this number of images: the last partial batch is dropped, unless it is the only one."""
        return max(1, images // self.batch_size)

    @abstractmethod
    def rate_at(self, update: int, updates_per_epoch: int) -> float:
        """The learning rate of an update, counted from 0."""

    def unfit(self, image_size: int) -> Iterator[tuple[str, str, str]]:  # noqa: ARG002
        """What of the recipe images of this size do not allow: field, message and remedy."""
        yield from ()


class LearningRateDrop(Strict):
    """The learning rate is multiplied by `factor` after every `every_epochs` epochs."""

    factor: float = Field(0.1, gt=0, le=1)
    every_epochs: int = Field(8, ge=1, le=MOST)


class PaperRecipe(TrainingSpec):
    """Stochastic gradient descent with momentum; the defaults are the paper's recipe."""

    # Not written down: specs of this recipe read as they did before there were others.
    recipe: Literal["paper"] = Field("paper", exclude_if=lambda _: True)
    epochs: int = Field(40, ge=1, le=MOST)
    batch_size: int = Field(128, ge=1, le=8192)
    learning_rate: float = Field(0.001, gt=0)
    learning_rate_drop: LearningRateDrop | None = LearningRateDrop(factor=0.1, every_epochs=8)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.004, ge=0, description="L2 on weights, not on biases.")
    first_layer_std: float = Field(
        0.0001,
        gt=0,
        description="Standard deviation of the first convolution's initial weights; 0.01 in the others. Networks that "
        "initialise themselves take no other than this default.",
    )
    equal_updates: EqualUpdates = False
    precision: AskedPrecision = "auto"

    @property
    def descent(self) -> Descent:
        return Descent("sgd", self.weight_decay, self.momentum)

    @property
    def stacks(self) -> bool:
        return True

    @property
    def initial_std(self) -> float | None:
        return self.first_layer_std

    def rate_at(self, update: int, updates_per_epoch: int) -> float:
        drop, epochs_before = self.learning_rate_drop, update // updates_per_epoch
        return self.learning_rate * drop.factor ** (epochs_before // drop.every_epochs) if drop else self.learning_rate


_USUAL_RATE = {"sgd": 0.25, "adamw": 0.002}
_USUAL_WARMUP = 0.2
_USUAL_MOMENTUM = 0.9


class OneCycleRecipe(TrainingSpec):
    """The learning rate rises to its peak and falls to nearly nothing, once; images are flipped, moved and covered at random."""

    recipe: Literal["one_cycle"]
    epochs: int = Field(16, ge=1, le=MOST)
    batch_size: int = Field(256, ge=1, le=8192)
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd takes Nesterov's momentum.")
    learning_rate: float | None = Field(
        None, gt=0, description=f"The peak; null is {_USUAL_RATE['sgd']} for sgd and {_USUAL_RATE['adamw']} for adamw."
    )
    momentum: float | None = Field(
        None, ge=0, lt=1, description=f"Of sgd alone, where null is {_USUAL_MOMENTUM}; adamw has moments of its own."
    )
    weight_decay: float = Field(0.001, ge=0, description="On weights, not on biases nor on the scales of batch norms.")
    warmup_epochs: float | None = Field(
        None, ge=0, le=MOST, description="How long the rate rises, evenly; less than epochs. null is a fifth of them."
    )
    final_rate: float = Field(0, ge=0, le=1, description="Where the rate falls to, evenly, as a share of the peak.")
    flip: bool = Field(True, description="Mirror half of the images left to right.")
    crop_padding: int = Field(2, ge=0, le=64, description="Move images by up to this number of pixels each way.")
    cutout: int = Field(0, ge=0, le=4096, description="Side of the square to cover, in pixels; 0 for none.")
    label_smoothing: float = Field(
        0, ge=0, lt=1, description="Share of a label spread over all outputs. It harms rejection by confidence."
    )
    ema_decay: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Per update, of the moving average of weights that is kept; null keeps the last ones.",
    )
    equal_updates: EqualUpdates = False
    precision: AskedPrecision = "auto"

    @model_validator(mode="after")
    def _belongs_together(self) -> "OneCycleRecipe":
        if self.optimizer == "adamw" and self.momentum is not None:
            raise wrong_field("momentum", self.momentum, "belongs to sgd, and the optimizer is adamw", "Leave it out.")
        if self.warmup_epochs is not None and self.warmup_epochs >= self.epochs:
            message = f"is {self.warmup_epochs:g}, and training has {self.epochs} epochs"
            raise wrong_field("warmup_epochs", self.warmup_epochs, message, f"Give less than {self.epochs}.")
        return self

    @property
    def descent(self) -> Descent:
        if self.optimizer == "adamw":
            return Descent("adamw", self.weight_decay)
        momentum = _USUAL_MOMENTUM if self.momentum is None else self.momentum
        return Descent("sgd", self.weight_decay, momentum, nesterov=momentum > 0)

    @property
    def augmentation(self) -> Augmentation | None:
        changes = Augmentation(self.flip, self.crop_padding, self.cutout)
        return changes if self.flip or self.crop_padding or self.cutout else None

    @property
    def smoothing(self) -> float:
        return self.label_smoothing

    @property
    def average_decay(self) -> float | None:
        return self.ema_decay

    @property
    def peak(self) -> float:
        """The largest learning rate."""
        return _USUAL_RATE[self.optimizer] if self.learning_rate is None else self.learning_rate

    def rate_at(self, update: int, updates_per_epoch: int) -> float:
        warmup = _USUAL_WARMUP * self.epochs if self.warmup_epochs is None else self.warmup_epochs
        # Neither the first nor the last update is at the rate that the schedule starts from or ends at: it would teach nothing.
        done, of_all = update + 1, self.epochs * updates_per_epoch + 1
        top = warmup * updates_per_epoch
        if done < top:
            return self.peak * done / top
        share_left = max(0.0, (of_all - done) / (of_all - top))
        return self.peak * (self.final_rate + (1 - self.final_rate) * share_left)

    def unfit(self, image_size: int) -> Iterator[tuple[str, str, str]]:
        for field in ("crop_padding", "cutout"):
            if (asked := getattr(self, field)) >= image_size:
                yield field, f"is {asked}, and images have {image_size} pixels a side", f"Give less than {image_size}."


_DECAY: TypeAdapter[float] = TypeAdapter(
    Annotated[float, Field(ge=0)], config=ConfigDict(strict=True, allow_inf_nan=False)
)
_EITHER: TypeAdapter[float | str] = TypeAdapter(Annotated[float, Field(ge=0)] | Literal["auto"])


def _number_or_auto(value: Any) -> float | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, str):
        remedy = 'Give a number of at least 0, or "auto".'
        raise PydanticCustomError("unknown_name", "{name} is no weight decay", {"name": repr(value), "remedy": remedy})
    return _DECAY.validate_python(value)


class LinearRecipe(TrainingSpec):
    """A linear layer on the features of a backbone, which stays as it is. Features are computed once, so this takes seconds.

    The learning rate rises over the first fifth of the updates and then falls to nearly nothing, both evenly.
    """

    recipe: Literal["linear"]
    epochs: int = Field(40, ge=1, le=MOST)
    batch_size: int = Field(32, ge=1, le=8192)
    learning_rate: float = Field(
        0.002, gt=0, description="The peak. Features are scaled to mean 0 and deviation 1 before."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov's.")
    weight_decay: Annotated[float | Literal["auto"], ParsedBy(_number_or_auto, _EITHER)] = Field(
        "auto",
        description="On weights, not on biases. auto: chosen from a few values by cross-validation on the cell's training images, "
        "by log loss; the results state which.",
    )
    equal_updates: EqualUpdates = False
    # Features are float32, and little time goes here.
    precision: ClassVar[Literal["float32"]] = "float32"  # type: ignore[misc]

    @property
    def descent(self) -> Descent:
        assert self.weight_decay != "auto", "it is chosen before a layer is trained"
        return Descent("sgd", self.weight_decay, self.momentum, nesterov=self.momentum > 0)

    @property
    def needs_backbone(self) -> bool:
        return True

    def rate_at(self, update: int, updates_per_epoch: int) -> float:
        done, of_all = update + 1, self.epochs * updates_per_epoch + 1
        top = _USUAL_WARMUP * self.epochs * updates_per_epoch
        return self.learning_rate * (done / top if done < top else (of_all - done) / (of_all - top))


RECIPES: dict[str, type[TrainingSpec]] = {"paper": PaperRecipe, "one_cycle": OneCycleRecipe, "linear": LinearRecipe}
Training = Annotated[TrainingSpec, OneOf("recipe", RECIPES, default="paper")]
