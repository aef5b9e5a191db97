"""The report of an upload: what was found in it, for the one who sent it."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from noisegate.api.dataset_report import Added, ClassFound, DatasetReport, ImagesFound, LeftOutGroup, Spread
from noisegate.data.layouts import Layout
from noisegate.data.members import LeftOut

_MOST_SAMPLES = 3
_MOST_NAMES = 10
_PIXELS = "pixels"


class ImageCounts:
    """What the images were before they were decoded, by their place in the upload."""

    def __init__(self) -> None:
        self._formats: list[str] = []
        self._widths, self._heights = array("i"), array("i")

    def add(self, kind: str | None, width: int, height: int) -> None:
        """One more image; `kind` is its file's, and None if it came as pixels."""
        self._formats.append(kind or _PIXELS)
        self._widths.append(width)
        self._heights.append(height)

    def longer_side(self, place: int) -> int:
        """Of the image with this place, in pixels."""
        return max(self._widths[place], self._heights[place])

    def found(self, order: Sequence[int]) -> ImagesFound:
        """Of the images with these places."""
        formats = Counter(self._formats[place] for place in order)
        return ImagesFound(
            formats=dict(sorted(formats.items())),
            width=_spread(self._widths, order),
            height=_spread(self._heights, order),
        )


def report_of(
    layout: Layout, paths: Sequence[str], images: ImagesFound, told: Sequence[str], added: Added | None = None
) -> DatasetReport:
    """The report of a data set.

    Args:
        paths: of its images, by their index in the layout.
        told: what was said while the upload was read.
        added: to a base, if the upload has one.
    """
    classes = _classes(layout, paths)
    return DatasetReport(
        layout=layout.layout,
        notes=[*told, *layout.notes],
        train_count=sum(one.train for one in classes),
        test_count=sum(one.test for one in classes),
        classes=classes,
        images=images,
        left_out_count=len(layout.left_out),
        left_out=_groups(layout.left_out),
        added=added,
    )


def _classes(layout: Layout, paths: Sequence[str]) -> list[ClassFound]:
    counts = Counter((image.split, image.class_name) for image in layout.images)
    names: dict[str, list[str]] = defaultdict(list)
    for image in layout.images:
        names[image.class_name].append(paths[image.index])
    return [
        ClassFound(
            name=name,
            train=counts["train", name],
            test=counts["test", name],
            samples=sorted(names[name])[:_MOST_SAMPLES],
        )
        for name in layout.classes
    ]


def _groups(left_out: Sequence[LeftOut]) -> list[LeftOutGroup]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in left_out:
        by_reason[one.why].append(one.name)
    most_first = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return [LeftOutGroup(why=why, count=len(names), names=sorted(names)[:_MOST_NAMES]) for why, names in most_first]


def _spread(values: Sequence[int], order: Sequence[int]) -> Spread:
    chosen = np.asarray(values)[np.asarray(order)]
    return Spread(least=int(chosen.min()), median=int(np.median(chosen)), most=int(chosen.max()))
