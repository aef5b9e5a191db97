"""Retraining on a subgroup of the training images (section 5 of the paper)."""

from typing import Literal

from pydantic import Field

from noisegate.documents import Strict
from noisegate.errors import FieldError, InvalidSpec


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
        "correct part; ls the first correct ones in file order; and images that are drawn twice stay.",
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
