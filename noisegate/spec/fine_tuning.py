"""The recipe that goes on training the later layers of a backbone."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from noisegate.documents import MOST, wrong_field
from noisegate.spec.recipe import Augmentation, Descent, EqualUpdates, TrainingSpec, rise_and_fall


class FineTuneRecipe(TrainingSpec):
    """The later layers of a backbone go on training, with a new layer on top. What its early layers compute is computed once.

    First the new layer learns alone, while the rate rises; then all later layers learn, the deeper the slower, while it falls to
    nearly nothing. Norms keep the statistics that they came with.
    """

    recipe: Literal["fine_tune"]
    epochs: int = Field(12, ge=1, le=MOST, description="At most: training may stop before.")
    head_epochs: int = Field(
        2, ge=0, le=MOST, description="In which the new layer alone learns, while the rate rises; less than epochs."
    )
    batch_size: int = Field(32, ge=1, le=8192)
    learning_rate: float = Field(0.001, gt=0, description="AdamW's, at its peak, of the new layer.")
    layer_decay: float = Field(
        0.8, gt=0, le=1, description="The rate of each block as a share of that of the block after it."
    )
    weight_decay: float = Field(0.05, ge=0, description="On weights, not on biases nor on the scales of norms.")
    patience: int | None = Field(
        4,
        ge=1,
        le=MOST,
        description="Training stops after this number of epochs without a lower loss on the holdout, and the epoch with the lowest "
        "is kept; null trains all epochs and keeps the last.",
    )
    flip: bool = Field(
        True, description="Mirror half of the images left to right: the early layers compute each image both ways."
    )
    equal_updates: EqualUpdates = False
    # Activations are float32, and the small steps of fine-tuning are lost in bfloat16's rounding first.
    precision: ClassVar[Literal["float32"]] = "float32"  # type: ignore[misc]

    @model_validator(mode="after")
    def _belongs_together(self) -> "FineTuneRecipe":
        if self.head_epochs >= self.epochs:
            message = f"is {self.head_epochs}, and training has {self.epochs} epochs"
            raise wrong_field("head_epochs", self.head_epochs, message, f"Give less than {self.epochs}.")
        return self

    @property
    def descent(self) -> Descent:
        return Descent("adamw", self.weight_decay)

    @property
    def augmentation(self) -> Augmentation | None:
        return Augmentation(flip=True, crop_padding=0, cutout=0) if self.flip else None

    @property
    def needs_backbone(self) -> bool:
        return True

    @property
    def tunes_backbone(self) -> bool:
        return True

    @property
    def epochs_of_head(self) -> int:
        return self.head_epochs

    @property
    def stops_after(self) -> int | None:
        return self.patience

    def rate_share(self, depth: int) -> float:
        return self.layer_decay**depth

    def rate_at(self, update: int, updates_per_epoch: int) -> float:
        return self.learning_rate * rise_and_fall(update, updates_per_epoch, self.epochs, self.head_epochs)
