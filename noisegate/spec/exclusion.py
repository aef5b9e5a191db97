"""Training without some of the training images, chosen by what an earlier experiment has recorded of each."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from noisegate.documents import MOST, Strict, wrong_field
from noisegate.spec.experiment import Line
from noisegate.spec.reasons import Reason

Control = Literal["random", "stratified"]

_USUAL_BUDGET = 0.05
ImageId = Annotated[int, Field(ge=0, le=2**40)]


class Exclusion(Strict):
    """Training images that are left out: by reason, by id, or the share of them with the lowest value.

    Without any of the three it is the lowest 5 %.
    """

    samples: Line | None = Field(
        None,
        description="The experiment whose table of samples chooses (record samples), on the same dataset. Not needed with ids.",
    )
    cell: int | None = Field(
        None, ge=0, le=MOST, description="By the executions of this cell of it; null for all of them."
    )
    reasons: list[Reason] = Field(
        [], max_length=20, description="Images that have one of these reasons.", exclude_if=lambda reasons: not reasons
    )
    ids: list[ImageId] = Field(
        [],
        max_length=MOST,
        description="Images by their ids: their places among the dataset's training images.",
        exclude_if=lambda ids: not ids,
    )
    budget: float | None = Field(
        None, gt=0, lt=1, description="The share of the training images with the lowest value."
    )
    control: Control | None = Field(
        None,
        description="Instead of these, as many images at random (random), or as many at random of each class (stratified): what "
        "training on fewer images alone would do.",
    )

    @model_validator(mode="after")
    def _check_one_way(self) -> "Exclusion":
        given = [name for name in ("reasons", "ids", "budget") if getattr(self, name)]
        if len(given) > 1:
            message = f"is given beside {given[0]}"
            raise wrong_field(given[1], getattr(self, given[1]), message, "Choose by one of reasons, ids and budget.")
        return self

    @property
    def by_value(self) -> float | None:
        """The share with the lowest value; None where reasons or ids choose."""
        return None if self.reasons or self.ids else (self.budget or _USUAL_BUDGET)
