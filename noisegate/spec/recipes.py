"""How a network is trained: one class a recipe."""

from typing import Literal

from pydantic import Field

from noisegate.documents import MOST, Strict


class LearningRateDrop(Strict):
    """The learning rate is multiplied by `factor` after every `every_epochs` epochs."""

    factor: float = Field(0.1, gt=0, le=1)
    every_epochs: int = Field(8, ge=1, le=MOST)


class TrainingSpec(Strict):
    """Stochastic gradient descent with momentum; the defaults are the paper's recipe."""

    epochs: int = Field(40, ge=1, le=MOST)
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
