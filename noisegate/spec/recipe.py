"""What a recipe is: how a network is trained, as numbers. Torch carries it out elsewhere."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from noisegate.documents import Strict


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
    def runs_a_claim(self) -> int:
        """How many executions of a cell a process takes on one after another, where it could not run them at once."""
        return 1

    @property
    def needs_backbone(self) -> bool:
        """Whether it trains what lies on top of a backbone."""
        return False

    @property
    def tunes_backbone(self) -> bool:
        """Whether it goes on training the backbone's own later layers."""
        return False

    @property
    def epochs_of_head(self) -> int:
        """Epochs at the beginning in which only what has depth 0 is updated (`TrainableNetwork.depth_of`)."""
        return 0

    @property
    def stops_after(self) -> int | None:
        """Epochs without a better loss on the holdout after which training ends, with the weights of the best; None for never."""
        return None

    def rate_share(self, depth: int) -> float:  # noqa: ARG002
        """The share of the learning rate that layers of a depth learn by; depth 0 is the head."""
        return 1.0

    @property
    def share_of_shifts(self) -> float:
        """Times the learning rate of their layer by which the shifts of batch norms learn."""
        return 1.0

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


def rise_and_fall(update: int, updates_per_epoch: int, epochs: int, rising_epochs: float) -> float:
    """The share of the peak, which neither the first nor the last update is without: 0 … 1, both ways evenly."""
    done, of_all = update + 1, epochs * updates_per_epoch + 1
    top = rising_epochs * updates_per_epoch
    return done / top if done < top else (of_all - done) / (of_all - top)
