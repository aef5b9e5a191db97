"""Versions of a data set: the images of a base, as they are there, and those of an upload added to them.

Which image is in the base already is told by its file's bytes, whatever it is called.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from noisegate.api.dataset_report import Added, ClassAdded, ImagesFound
from noisegate.data.layouts import BaseClasses, Layout, Placed, Split
from noisegate.data.members import LeftOut
from noisegate.data.originals import Arrivals, Entry, Originals
from noisegate.data.reporting import ImageCounts
from noisegate.errors import InvalidArchive
from noisegate.inference.decoding import ImageLimits, open_image

IN_BASE = "is in the base already"

# The others are counted.
_MOST_NAMED = 100
_REMEDY = (
    "Leave these images out, if the base is right about them; if it is not, upload all images anew without a base, as the"
    " labels of a dataset never change."
)
# It was accepted once, and its pixels are not decoded.
_ANY_SIZE = ImageLimits(max_bytes=2**62, max_pixels=2**62)


class PackedArrays(Protocol):
    """What `noisegate.store.packed.open_packed` gives: data and store do not know each other."""

    @property
    def classes(self) -> Sequence[str]: ...

    @property
    def train_count(self) -> int: ...

    @property
    def images(self) -> npt.NDArray[np.uint8]: ...

    @property
    def labels(self) -> npt.NDArray[np.int64]: ...


class OriginalFiles(Protocol):
    """What `noisegate.store.packed.fetch_originals` gives."""

    @property
    def content(self) -> Path: ...

    @property
    def index(self) -> Path: ...

    @property
    def shared(self) -> Sequence[Path]: ...


@dataclass(frozen=True)
class Base:
    """A packed data set to which images are added.

    Attributes:
        classes: in the order of its labels.
        images: uint8 [n, size, size, 3], training images first.
        labels: int64 [n].
    """

    name: str
    classes: Sequence[str]
    train_count: int
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    originals: Originals

    @classmethod
    def of(cls, name: str, arrays: PackedArrays, files: OriginalFiles) -> Self:
        """The data set of this name, of which the files are at hand; raises as `Originals`."""
        originals = Originals(files.content, files.index, files.shared)
        return cls(name, arrays.classes, arrays.train_count, arrays.images, arrays.labels, originals)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def known_classes(self) -> BaseClasses:
        """Its classes, and which of them have training images."""
        trained = {self.classes[label] for label in np.unique(self.labels[: self.train_count])}
        return BaseClasses(self.name, frozenset(self.classes), frozenset(trained))

    def class_of(self, place: int) -> str:
        """The class of one of its images."""
        return self.classes[int(self.labels[place])]

    def split_of(self, place: int) -> Split:
        """The part of one of its images."""
        return "train" if place < self.train_count else "test"

    def placed(self) -> list[Placed]:
        """All its images where they are; the index of each is its place."""
        return [
            Placed(place, self.split_of(place), self.class_of(place), self._key(place)) for place in range(len(self))
        ]

    def entry(self, place: int) -> Entry:
        """What the index of a version says of one of the base's images: file 0 is the version's own."""
        found = self.originals.entry(place)
        side = found.longer_side
        if side is None:
            image = open_image(self.originals.read(place), _ANY_SIZE)
            side = max(image.width, image.height)
        return found._replace(key=self._key(place), longer_side=side, file=found.file + 1)

    def images_found(self) -> ImagesFound:
        """What a report says of its files, by their headers."""
        counts = ImageCounts()
        for place in range(len(self)):
            image = open_image(self.originals.read(place), _ANY_SIZE)
            counts.add(image.container.kind, image.width, image.height)
        return counts.found(range(len(self)))

    def _key(self, place: int) -> str:
        """What tells the image from others of its class. In an index older than keys it is what it was for class folders."""
        found = self.originals.entry(place)
        if found.key is not None:
            return found.key
        _, _, below = f"/{found.name}".partition(f"/{self.class_of(place)}/")
        return below or found.name


def added_to(
    base: Base, layout: Layout, paths: Sequence[str], files: Arrivals, check: Callable[[], None]
) -> tuple[Layout, Added]:
    """The layout of the base's images and those of an upload together, and what was added.

    Args:
        layout: of the upload alone.
        paths: of its images, as they came; `files` are theirs.
        check: called again and again, as looking through the base may take long; it may raise.

    Returns:
        a layout whose images have for their index their place in the base, or the number of images in the base plus the number in
        which they came.

    Raises:
        InvalidArchive: an image is in the base under another class; all of them are named.
    """
    twins = _twins(base, layout.images, files, check)
    _check_agreement(base, layout.images, paths, twins)
    new = [image for image in layout.images if image.index not in twins]
    together = [*base.placed(), *(image._replace(index=image.index + len(base)) for image in new)]
    together.sort(key=lambda image: (image.split != "train", image.rank))
    known = [LeftOut(paths[index], IN_BASE) for index in twins]
    both = replace(layout, images=tuple(together), left_out=(*layout.left_out, *known))
    return both, _added(base, layout.classes, new, len(known))


def _twins(
    base: Base, images: Sequence[Placed], files: Arrivals, check: Callable[[], None]
) -> dict[int, Sequence[int]]:
    """The places in the base of files with the same bytes, for each image by its index that has any."""
    # Only files of one size can be the same: the others need not be read.
    sizes_sent = [files.size(image.index) for image in images]
    candidates = np.flatnonzero(np.isin(base.originals.sizes, sizes_sent)).tolist()
    sizes = {int(base.originals.sizes[place]) for place in candidates}
    places: dict[bytes, list[int]] = defaultdict(list)
    for place in candidates:
        places[hashlib.sha256(base.originals.read(place)).digest()].append(place)
        check()
    found: dict[int, Sequence[int]] = {}
    for image in images:
        if files.size(image.index) in sizes:
            digest = hashlib.sha256(files.read(image.index)).digest()
            if digest in places:
                found[image.index] = places[digest]
            check()
    return found


def _check_agreement(
    base: Base, images: Sequence[Placed], paths: Sequence[str], twins: Mapping[int, Sequence[int]]
) -> None:
    contradicted = []
    for image in sorted(images, key=lambda image: paths[image.index]):
        same = twins.get(image.index, ())
        if same and all(base.class_of(place) != image.class_name for place in same):
            there = f"{base.originals.name(same[0])!r} of class {base.class_of(same[0])!r}"
            contradicted.append(f"{paths[image.index]!r} of class {image.class_name!r} is {there} there")
    if not contradicted:
        return
    named = "; ".join(contradicted[:_MOST_NAMED])
    beyond = f"; and {len(contradicted) - _MOST_NAMED:,} more" if len(contradicted) > _MOST_NAMED else ""
    many = f"{len(contradicted):,} images are" if len(contradicted) > 1 else "an image is"
    detail = f"{many} in the base {base.name!r} under another class: {named}{beyond}"
    raise InvalidArchive(detail, field="archive", remedy=_REMEDY)


def _added(base: Base, classes: Sequence[str], new: Sequence[Placed], known: int) -> Added:
    counts = Counter((image.split, image.class_name) for image in new)
    sides = Counter(image.split for image in new)
    there = set(base.classes)
    return Added(
        base=base.name,
        train_count=sides["train"],
        test_count=sides["test"],
        known_count=known,
        classes=[
            ClassAdded(name=name, train=counts["train", name], test=counts["test", name], is_new=name not in there)
            for name in classes
            if counts["train", name] or counts["test", name]
        ],
    )
