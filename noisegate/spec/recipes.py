"""How a network is trained: one class a recipe."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from noisegate.documents import MOST, OneOf, ParsedBy, Strict, wrong_field
from noisegate.spec.fine_tuning import FineTuneRecipe
from noisegate.spec.recipe import AskedPrecision, Augmentation, Descent, EqualUpdates, TrainingSpec, rise_and_fall


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
    shift_rate: float = Field(
        1,
        gt=0,
        le=1000,
        # Not written where it is the default: specs read as they did before there was a choice.
        exclude_if=lambda rate: rate == 1,
        description="Times the learning rate by which the shifts of batch norms learn; 64 helps `compact` in short trainings.",
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
    def share_of_shifts(self) -> float:
        return self.shift_rate

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
    def runs_a_claim(self) -> int:
        # To prepare a cell, noise goes through the backbone and a decay is chosen: that takes longer than several executions do.
        return 10

    @property
    def needs_backbone(self) -> bool:
        return True

    def rate_at(self, update: int, updates_per_epoch: int) -> float:
        return self.learning_rate * rise_and_fall(update, updates_per_epoch, self.epochs, _USUAL_WARMUP * self.epochs)


RECIPES: dict[str, type[TrainingSpec]] = {
    "paper": PaperRecipe,
    "one_cycle": OneCycleRecipe,
    "linear": LinearRecipe,
    "fine_tune": FineTuneRecipe,
}
Training = Annotated[TrainingSpec, OneOf("recipe", RECIPES, default="paper")]
