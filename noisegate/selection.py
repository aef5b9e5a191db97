"""Which training images a cell leaves out: settled when it is planned and kept, whatever becomes of what they were chosen by."""

import hashlib
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from noisegate.documents import Document


class SelectionSummary(Document):
    """How many training images a cell leaves out, and by whose word."""

    experiment: str | None = Field(
        description="The experiment whose table of samples chose; null where ids were given."
    )
    table: str | None = Field(description="SHA-256 of that table; null likewise.")
    control: str | None = Field(description="random or stratified where as many others were drawn instead.")
    holdout_stays: bool = Field(
        False, description="Whether they stay in the holdout: so with subgroups, and not with what is excluded."
    )
    count: int = Field(ge=0, description="Training images left out.")
    classes: dict[str, int] = Field(description="How many of each class.")
    digest: str = Field(description="SHA-256 of their ids: two cells with the same one leave out the same images.")


class Selection(SelectionSummary):
    """The same, with the images."""

    places: list[int] = Field(description="Their places among the dataset's training images, rising.")

    @property
    def summary(self) -> SelectionSummary:
        """Without the images."""
        return SelectionSummary.model_validate(self.model_dump(exclude={"places"}))


def digest_of(places: Sequence[int]) -> str:
    """SHA-256 of rising places."""
    return hashlib.sha256(np.asarray(places, "<i8").tobytes()).hexdigest()
