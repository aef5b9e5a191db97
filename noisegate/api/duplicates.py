"""What a report says about copies in a data set: how many images, where, and which."""

from typing import Literal, Self

from pydantic import Field

from noisegate.documents import Document

Kind = Literal["exact", "near", "mirrored"]


class CopyPair(Document):
    """Two images that are copies."""

    first: str = Field(description="Its name; the training image, if the other is a test image.")
    second: str
    first_class: str
    second_class: str
    kind: Kind
    similarity: float = Field(
        description="1 for the same pixels or their mirror image; else the correlation of the two pictures' local contrasts."
    )


class CopyCounts(Document):
    """How many images are copies. Each is counted once, by its closest copy: exact, else near, else mirrored."""

    exact: int = Field(ge=0, description="Images of which another has the same pixels at the size of the data set.")
    near: int = Field(
        ge=0,
        description="Of which another is the same picture: recompressed, resized, brighter, darker or slightly cropped.",
    )
    mirrored: int = Field(
        ge=0, description="Of which another is the same picture, exactly or nearly, with left and right swapped."
    )
    examples: list[CopyPair] = Field(description="Up to 20 of the pairs, the most alike of each kind in turn.")

    @property
    def copies(self) -> int:
        """Exact and near ones: mirror images are counted apart."""
        return self.exact + self.near


class CopyGroup(Document):
    """Images that are one picture, each linked to another of them by an exact or near copy."""

    size: int = Field(ge=2, description="Images in it.")
    classes: list[str] = Field(description="Their classes.")
    images: list[str] = Field(description="The names of the first 20.")


class Duplicates(Document):
    """The copies in a data set."""

    train_images: int = Field(ge=0)
    test_images: int = Field(ge=0)
    within_train: CopyCounts = Field(description="Training images with a copy among the other training images.")
    within_test: CopyCounts = Field(description="Test images with a copy among the other test images.")
    test_in_train: CopyCounts = Field(
        description="Test images with a copy among the training images: what they measure is partly memory."
    )
    across_classes: CopyCounts = Field(
        description="Images with a copy of another class, wherever they are: at least one of the two labels is wrong or in doubt."
    )
    groups: int = Field(
        ge=0, description="Pictures that more than one image shows, exactly or nearly: five copies are one group."
    )
    redundant_images: int = Field(ge=0, description="How many images could go if one of each group stayed.")
    group_sizes: dict[int, int] = Field(description="How many groups have this many images.")
    largest_groups: list[CopyGroup] = Field(description="Up to 20, the largest first.")
    least_similarity: float = Field(
        description="From which similarity on two pictures are near copies: 0.83, or more where all images look alike."
    )

    messages: list[str] = Field(
        [], description="One sentence for each place where there are copies, the most harmful first."
    )

    def told(self) -> Self:
        """The same, with its messages."""
        total = self.train_images + self.test_images
        found = [
            _sentence(
                self.across_classes, total, "images", "has a copy of another class", "have a copy of another class"
            ),
            self._leak(),
            _sentence(
                self.within_train,
                self.train_images,
                "training images",
                "has a copy among the others",
                "have a copy among the others",
            ),
            _sentence(
                self.within_test,
                self.test_images,
                "test images",
                "has a copy among the others",
                "have a copy among the others",
            ),
        ]
        return self.model_copy(update={"messages": [sentence for sentence in found if sentence]})

    @property
    def message(self) -> str:
        """What a reader of test results should know first: how many test images were trained on."""
        return self._leak() or f"None of the {self.test_images:,} test images is also a training image."

    def _leak(self) -> str:
        return _sentence(
            self.test_in_train, self.test_images, "test images", "is also a training image", "are also training images"
        )


def _sentence(counts: CopyCounts, of: int, noun: str, one: str, many: str) -> str:
    """Empty if there are none."""
    if counts.copies == counts.mirrored == 0:
        return ""
    how = [f"{number:,} {word}" for number, word in ((counts.exact, "exactly"), (counts.near, "nearly")) if number]
    detail = f" ({', '.join(how)})" if how else ""
    apart = f", and {counts.mirrored:,} more mirrored" if counts.mirrored else ""
    return f"{counts.copies:,} of {of:,} {noun} {one if counts.copies == 1 else many}{detail}{apart}."
