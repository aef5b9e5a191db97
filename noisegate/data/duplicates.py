"""What a report says about copies in a data set: how many images, where, and which."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

import numpy as np
import numpy.typing as npt
from pydantic import Field

from noisegate.data.alike import Flags, Places
from noisegate.data.copies import Copies, find_copies
from noisegate.data.labelled_copies import Kind, LabelledCopies, Relation
from noisegate.documents import Document

_KINDS: tuple[Kind, ...] = ("exact", "near", "mirrored")
_MOST_EXAMPLES = 20


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

    @property
    def messages(self) -> list[str]:
        """One sentence for each place where there are copies, the most harmful first."""
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
        return [sentence for sentence in found if sentence]

    @property
    def message(self) -> str:
        """What a reader of test results should know first: how many test images were trained on."""
        return self._leak() or f"None of the {self.test_images:,} test images is also a training image."

    def _leak(self) -> str:
        return _sentence(
            self.test_in_train, self.test_images, "test images", "is also a training image", "are also training images"
        )


def find_duplicates(
    images: npt.NDArray[np.uint8],
    labels: Places,
    train_count: int,
    names: Sequence[str],
    classes: Sequence[str],
    progress: Callable[[float], None] = lambda _share: None,
) -> Duplicates:
    """Look for copies among images uint8 [n, size, size, 3], which may be a memory map: training images first, then test images.

    Args:
        labels: of each image, its place in `classes`.
        names: of each image, in the same order.
        progress: told now and then which share is done, 0 … 1; what it raises ends the search.
    """
    return describe(find_copies(images, progress), labels, train_count, names, classes)


def describe(
    copies: Copies, labels: Places, train_count: int, names: Sequence[str], classes: Sequence[str]
) -> Duplicates:
    """Counts, groups and examples of copies that have been found."""
    labelled = LabelledCopies(copies, labels, train_count)
    known = _Known(names, [classes[label] for label in labels])
    groups = labelled.groups()
    sizes = Counter(len(images) for images in groups)
    return Duplicates(
        train_images=train_count,
        test_images=len(labels) - train_count,
        **{relation: _counts(labelled, relation, flags, known) for relation, flags in labelled.images().items()},
        groups=len(groups),
        redundant_images=sum((size - 1) * count for size, count in sizes.items()),
        group_sizes=dict(sorted(sizes.items())),
        largest_groups=[known.group(images) for images in groups[:_MOST_EXAMPLES]],
        least_similarity=round(copies.least_likeness, 4),
    )


@dataclass(frozen=True)
class _Known:
    """The name and the class of each image."""

    names: Sequence[str]
    classes: Sequence[str]

    def pair(self, one: int, other: int, kind: Kind, similarity: float) -> CopyPair:
        return CopyPair(
            first=self.names[one],
            second=self.names[other],
            first_class=self.classes[one],
            second_class=self.classes[other],
            kind=kind,
            similarity=round(similarity, 4),
        )

    def group(self, images: Places) -> CopyGroup:
        return CopyGroup(
            size=len(images),
            classes=sorted({self.classes[image] for image in images}),
            images=[self.names[image] for image in images[:_MOST_EXAMPLES]],
        )


def _counts(labelled: LabelledCopies, relation: Relation, flags: Mapping[Kind, Flags], known: _Known) -> CopyCounts:
    pairs = {kind: islice(labelled.pairs(relation, kind), _MOST_EXAMPLES) for kind in _KINDS}
    named = [[known.pair(one, other, kind, alike) for one, other, alike in found] for kind, found in pairs.items()]
    in_turn = (pair for row in zip_longest(*named) for pair in row if pair)
    return CopyCounts(
        **{kind: int(flags[kind].sum()) for kind in _KINDS}, examples=list(islice(in_turn, _MOST_EXAMPLES))
    )


def _sentence(counts: CopyCounts, of: int, noun: str, one: str, many: str) -> str:
    """Empty if there are none."""
    if counts.copies == counts.mirrored == 0:
        return ""
    how = [f"{number:,} {word}" for number, word in ((counts.exact, "exactly"), (counts.near, "nearly")) if number]
    detail = f" ({', '.join(how)})" if how else ""
    apart = f", and {counts.mirrored:,} more mirrored" if counts.mirrored else ""
    return f"{counts.copies:,} of {of:,} {noun} {one if counts.copies == 1 else many}{detail}{apart}."
