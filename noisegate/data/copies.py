"""Which images of a packed data set are copies: of the same pixels, of the same picture, of its mirror image.

The pixels are read once, in their order; memory holds some 900 bytes of each image besides. Then every two different pictures are
compared, so the time grows with the square of their number.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noisegate.data.likeness import (
    SIDE,
    Directions,
    Floats,
    Thumbnails,
    contrasts,
    directions,
    likeness,
    likeness_when_moved,
    thumbnails,
)

Places = npt.NDArray[np.int64]
_Pairs = tuple[Places, Places]

# From here on two pictures are one; docs/duplicates.md has what was measured.
LEAST_LIKENESS = 0.83
_LEAST_COSINE = 0.8
# What candidates gain when one is moved: their distance from 1 shrinks to a third at best.
_GAIN = 3.0
# Levels. A picture of less contrast has too little in it to be told from another: only exact copies of it are found.
_FLAT = 3.0
# The neighbours that show how alike the pictures of a set are that are no copies: the 50th, the 200th; and of how many pictures.
_RANK, _FARTHER, _SAMPLE = 50, 4, 512
# Of the distance of that neighbour: candidates are nearer.
_NEARER = 0.6
# Pictures have eight dimensions at least; fewer are estimated only where many copies mislead.
_MOST_GROWTH = 0.25
_READ_BYTES = 4 * 2**20
_ROWS, _COLUMNS, _PAIRS = 512, 8192, 4096
# Links that a picture keeps in a block, at least: a crowd of copies takes bounded memory, and each still has its links.
_LINKS_KEPT = 8


@dataclass(frozen=True)
class Links:
    """Pairs of different pictures by their numbers, left < right, in this order, and how alike they are."""

    left: Places
    right: Places
    similarity: Floats

    def renumbered(self, numbers: Places) -> "Links":
        """The same links under other numbers, which grow with the old ones."""
        return Links(numbers[self.left], numbers[self.right], self.similarity)


@dataclass(frozen=True)
class Copies:
    """What is a copy of what among n images.

    Attributes:
        picture: [n], the number of the picture that each image shows: images of the same pixels show the same one.
        first: the first image of each picture.
        near: pictures that are the same but for recompression, resizing, brightness, contrast or a small crop.
        mirrored: pictures of which one is the mirror image of the other, exactly or nearly; none that are `near`.
        least_likeness: of pictures that are linked: 0.83, or more where all images look alike.
    """

    picture: Places
    first: Places
    near: Links
    mirrored: Links
    least_likeness: float


def find_copies(images: npt.NDArray[np.uint8], progress: Callable[[float], None] = lambda _share: None) -> Copies:
    """Compare images uint8 [n, size, size, 3], which may be a memory map; the same images give the same answer.

    Args:
        progress: told now and then which share is done, 0 … 1; what it raises ends the search.
    """
    read = _read(images, lambda share: progress(share / 2))
    vivid = np.flatnonzero(contrasts(read.thumbs) >= _FLAT)
    thumbs = read.thumbs[vivid]
    vectors = directions(thumbs)
    limits = _limits(thumbs, vectors)
    near, mirrored = [], [read.mirrored]
    for rows, columns in _blocks(len(thumbs)):
        as_they_are, turned = _candidates(vectors, rows, columns, limits.cosine)
        near.append(_alike(thumbs, *as_they_are, limits.likeness).renumbered(vivid))
        mirrored.append(_alike(thumbs, *turned, limits.likeness, mirror=True).renumbered(vivid))
        progress(0.5 + 0.5 * rows.stop / len(thumbs))
    straight = _joined(near)
    return Copies(read.picture, read.first, straight, _without(_joined(mirrored), straight), limits.likeness)


@dataclass(frozen=True)
class _Read:
    """What is kept of the pixels: the picture of each image, and a thumbnail of each picture."""

    picture: Places
    first: Places
    thumbs: Thumbnails
    mirrored: Links


def _read(images: npt.NDArray[np.uint8], progress: Callable[[float], None]) -> _Read:
    number_of: dict[bytes, int] = {}
    picture, first, thumbs, turned = [], [], [np.empty((0, SIDE, SIDE), np.uint8)], []
    step = max(1, _READ_BYTES // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        pixels = np.array(images[start : start + step])
        new = []
        for place, image in enumerate(pixels):
            number = number_of.setdefault(_digest(image), len(number_of))
            picture.append(number)
            if number == len(first):
                first.append(start + place)
                turned.append(_digest(image[:, ::-1]))
                new.append(place)
        thumbs.append(thumbnails(pixels[new]))
        progress(min(1.0, (start + step) / len(images)))
    pairs = [(number, number_of[digest]) for number, digest in enumerate(turned) if number < number_of.get(digest, -1)]
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    mirrored = Links(left, right, np.ones(len(pairs), np.float32))
    return _Read(np.array(picture, np.int64), np.array(first, np.int64), np.concatenate(thumbs), mirrored)


def _digest(pixels: npt.NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


@dataclass(frozen=True)
class _Limits:
    """How alike two pictures of a set must be: by the cosine of their vectors to be compared, by likeness to be linked."""

    cosine: float
    likeness: float


def _limits(thumbs: Thumbnails, vectors: Directions) -> _Limits:
    """By how alike pictures are that are no copies.

    Where all are much alike, as digits are, some are as near as copies by chance. Distances to neighbours grow with a power
    of the rank. Followed down to the one nearest pair of the whole set, this says what chance alone would bring.
    """
    count = len(thumbs)
    rank = min(_RANK, count // 8)
    if rank < 2:
        return _Limits(_LEAST_COSINE, LEAST_LIKENESS)
    sample = np.unique(np.linspace(0, count - 1, _SAMPLE).astype(np.int64))
    ranked = [_ranked(vectors, place, (rank, _FARTHER * rank)) for place in sample]
    near, far = (_typical_distance(thumbs, sample, np.array(neighbours)) for neighbours in zip(*ranked, strict=True))
    growth = np.clip(np.log(far / near) / np.log(_FARTHER), 0, _MOST_GROWTH)
    nearest = near * (2 / (count * rank)) ** growth
    cosines = [_cosines(vectors, place)[neighbour] for place, (neighbour, _) in zip(sample, ranked, strict=True)]
    cosine = 1 - _NEARER * (1 - float(np.median(cosines)))
    return _Limits(max(_LEAST_COSINE, cosine), max(LEAST_LIKENESS, 1 - nearest))


def _ranked(vectors: Directions, place: int, ranks: tuple[int, int]) -> tuple[int, int]:
    """The pictures of these ranks among the neighbours of one, which is the first itself."""
    order = np.argpartition(-_cosines(vectors, place), ranks)
    return int(order[ranks[0]]), int(order[ranks[1]])


def _cosines(vectors: Directions, place: int) -> Floats:
    cosines: Floats = vectors.even @ vectors.even[place] + vectors.odd @ vectors.odd[place]
    return cosines


def _typical_distance(thumbs: Thumbnails, places: Places, neighbours: Places) -> float:
    return max(1e-6, 1 - float(np.median(likeness_when_moved(thumbs[places], thumbs[neighbours]))))


def _blocks(count: int) -> Iterator[tuple[range, range]]:
    """Rows and columns that together have each pair of `count`."""
    for start in range(0, count, _ROWS):
        rows = range(start, min(start + _ROWS, count))
        yield from ((rows, range(at, min(at + _COLUMNS, count))) for at in range(start, count, _COLUMNS))


def _candidates(vectors: Directions, rows: range, columns: range, cosine: float) -> tuple[_Pairs, _Pairs]:
    """Pairs of a block whose vectors have this cosine: as they are, and one of them mirrored."""
    row, column = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
    even = vectors.even[row] @ vectors.even[column].T
    odd = vectors.odd[row] @ vectors.odd[column].T
    larger = np.abs(odd)
    larger += even
    found = np.flatnonzero(larger >= cosine)
    left, right = np.divmod(found, len(columns))
    left, right = left + rows.start, right + columns.start
    even, odd, once = even.ravel()[found], odd.ravel()[found], left < right
    straight, turned = once & (even + odd >= cosine), once & (even - odd >= cosine)
    return (left[straight], right[straight]), (left[turned], right[turned])


def _alike(thumbs: Thumbnails, left: Places, right: Places, least: float, mirror: bool = False) -> Links:
    """Those of the candidates that are alike, a picture's best ones if there are many."""
    similarity = np.empty(len(left), np.float32)
    for start in range(0, len(left), _PAIRS):
        part = slice(start, start + _PAIRS)
        ones, others = thumbs[left[part]], thumbs[right[part]]
        similarity[part] = _similarity(ones, others[:, :, ::-1] if mirror else others, least)
    links = _chosen(Links(left, right, similarity), similarity >= least)
    return _chosen(links, (_rank(links.left, links) < _LINKS_KEPT) | (_rank(links.right, links) < _LINKS_KEPT))


def _similarity(ones: Thumbnails, others: Thumbnails, least: float) -> Floats:
    """Of each pair; those that could reach `least` are moved to find out."""
    similarity = likeness(ones, others)
    unsure = np.flatnonzero((similarity >= 1 - _GAIN * (1 - least)) & (similarity < least))
    similarity[unsure] = likeness_when_moved(ones[unsure], others[unsure])
    return similarity


def _rank(pictures: Places, links: Links) -> Places:
    """The place of each link among those of its picture, the most alike first."""
    order = np.lexsort((-links.similarity, pictures))
    starts = np.searchsorted(pictures[order], pictures[order])
    rank = np.empty(len(pictures), np.int64)
    rank[order] = np.arange(len(pictures)) - starts
    return rank


def _chosen(links: Links, chosen: npt.NDArray[np.bool_]) -> Links:
    return Links(links.left[chosen], links.right[chosen], links.similarity[chosen])


def _joined(parts: Sequence[Links]) -> Links:
    """All links in order, of those between the same pictures the most alike."""
    left = np.concatenate([np.empty(0, np.int64), *(part.left for part in parts)])
    right = np.concatenate([np.empty(0, np.int64), *(part.right for part in parts)])
    similarity = np.concatenate([np.empty(0, np.float32), *(part.similarity for part in parts)])
    order = np.lexsort((-similarity, right, left))
    links = Links(left[order], right[order], similarity[order])
    repeated = np.zeros(len(order), np.bool_)
    repeated[1:] = (np.diff(links.left) == 0) & (np.diff(links.right) == 0)
    return _chosen(links, ~repeated)


def _without(links: Links, others: Links) -> Links:
    """Those of `links` that are not between pictures which `others` link."""
    taken = np.isin(_keys(links), _keys(others))
    return _chosen(links, ~taken)


def _keys(links: Links) -> Places:
    return links.left << np.int64(32) | links.right
