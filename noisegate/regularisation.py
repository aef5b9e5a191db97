"""How strongly a layer's weights are held back, and how that was chosen. Written by workers, read by results and models."""

from pydantic import Field

from noisegate.documents import Document


class Candidate(Document):
    """One value that was tried."""

    weight_decay: float = Field(ge=0)
    log_loss: float | None = Field(
        ge=0,
        description="Mean of −log of the true class's probability over the known training images, each by a layer that was not "
        "trained on it; four decimals. Null where training diverged.",
    )


class Regularisation(Document):
    """A weight decay that was chosen by cross-validation: the same for all executions of a cell."""

    weight_decay: float = Field(
        ge=0, description="The candidate of the least log loss; of equal ones the largest decay."
    )
    folds: int = Field(
        ge=2, description="Parts of the training images, each answered by a layer trained on the others."
    )
    candidates: list[Candidate] = Field(min_length=1, description="Rising.")
