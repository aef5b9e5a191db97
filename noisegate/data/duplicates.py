"""What a report says about copies in a data set: how many images, where, and which."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

import numpy as np
import numpy.typing as npt

from noisegate.api.duplicates import CopyCounts, CopyGroup, CopyPair, Duplicates, Kind
from noisegate.data.alike import Flags, Places
from noisegate.data.copies import Copies, find_copies
from noisegate.data.labelled_copies import LabelledCopies, Relation

_KINDS: tuple[Kind, ...] = ("exact", "near", "mirrored")
_MOST_EXAMPLES = 20


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
    ).told()


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
