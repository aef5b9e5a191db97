"""Which of many thumbnails show one picture, or its mirror image: all pairs are looked at, in blocks.

A matrix product of the vectors of low frequencies finds candidates, and their likeness decides. Time grows with the square of the
number of pictures; memory, but for what is found, not at all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from noisegate.data.likeness import (
    Directions,
    Floats,
    Thumbnails,
    contrasts,
    directions,
    likeness,
    likeness_when_moved,
)

Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# From here on two pictures are one; docs/duplicates.md has what was measured.
LEAST_LIKENESS = 0.83
_LEAST_COSINE = 0.8
# What is tried for candidates below the limit: shifting either if they are at most four times as far from 1, zooming if twice.
_SHIFTED, _ZOOMED = 4, 2
# Levels. A picture of less contrast has too little in it to be told from another: only exact copies of it are found.
_FLAT = 3.0
# The neighbours that show how alike the pictures of a set are that are no copies: the 50th, the 200th; and of how many pictures.
_RANK, _FARTHER, _SAMPLE = 50, 4, 512
# Of the distance of that neighbour: candidates are nearer.
_NEARER = 0.6
# Pictures have eight dimensions at least; fewer are estimated only where many copies mislead.
_MOST_GROWTH = 0.25
_ROWS, _COLUMNS, _PAIRS, _CHUNK = 512, 2048, 1024, 4096
# Candidates that are compared together, at least.
_ENOUGH = 16_384
# Links that a picture keeps of these, at least: a crowd of copies takes bounded memory, and each still has its links.
_LINKS_KEPT = 8


@dataclass(frozen=True)
class Links:
    """Pairs of pictures by their numbers, left < right, in this order.

    Attributes:
        similarity: −1 … 1, as noisegate.data.likeness has it; 1 is the same picture.
        mirrored: whether one is like the mirror image of the other, and they are not alike as they are.
    """

    left: Places
    right: Places
    similarity: Floats
    mirrored: Flags

    def __len__(self) -> int:
        return len(self.left)

    def chosen(self, chosen: Flags | Places) -> "Links":
        """Those of them that are flagged, or have these places."""
        return Links(self.left[chosen], self.right[chosen], self.similarity[chosen], self.mirrored[chosen])


def alike_pairs(thumbs: Thumbnails, progress: Callable[[float], None]) -> tuple[Links, float]:
    """Links between thumbnails of different pictures, uint8 [n, 24, 24], and the least likeness that counts among these.

    Args:
        progress: told now and then which share is done, 0 … 1; what it raises ends the search.
    """
    vivid = np.flatnonzero(np.concatenate([np.empty(0), *(contrasts(part) for part in _chunks(thumbs))]) >= _FLAT)
    pictures = _Pictures.of(thumbs, vivid)
    limits = _limits(pictures)
    candidates = _gathered(_candidates(pictures, limits.cosine, progress))
    return joined([_alike(thumbs, part, limits.likeness) for part in candidates]), limits.likeness


def joined(parts: Sequence[Links]) -> Links:
    """All of them, in order; of those between the same two pictures the one that is not mirrored, then the most alike."""
    links = _all_of(parts)
    links = links.chosen(np.lexsort((-links.similarity, links.mirrored, links.right, links.left)))
    new = np.ones(len(links), np.bool_)
    new[1:] = (np.diff(links.left) != 0) | (np.diff(links.right) != 0)
    return links.chosen(new)


def _all_of(parts: Sequence[Links]) -> Links:
    return Links(
        np.concatenate([np.empty(0, np.int64), *(part.left for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.right for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.similarity for part in parts)]),
        np.concatenate([np.empty(0, np.bool_), *(part.mirrored for part in parts)]),
    )


@dataclass(frozen=True)
class _Pictures:
    """All thumbnails, the numbers of those that are compared, and a row of `vectors` for each of these."""

    thumbs: Thumbnails
    numbers: Places
    vectors: Directions

    @classmethod
    def of(cls, thumbs: Thumbnails, numbers: Places) -> "_Pictures":
        parts = [directions(thumbs[part]) for part in _chunks(numbers)] or [directions(thumbs[:0])]
        even, odd = np.concatenate([part.even for part in parts]), np.concatenate([part.odd for part in parts])
        return cls(thumbs, numbers, Directions(even, odd))

    def cosines(self, row: int) -> Floats:
        """Of one with each."""
        cosines: Floats = self.vectors.even @ self.vectors.even[row] + self.vectors.odd @ self.vectors.odd[row]
        return cosines


def _chunks(array: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    return (array[start : start + _CHUNK] for start in range(0, len(array), _CHUNK))


@dataclass(frozen=True)
class _Limits:
    """How alike two pictures of a set must be: by the cosine of their vectors to be compared, by likeness to be linked."""

    cosine: float
    likeness: float


def _limits(pictures: _Pictures) -> _Limits:
    """By how alike pictures are that are no copies.

    Where all are much alike, as digits are, some are as near as copies by chance. Distances to neighbours grow with a power
    of the rank. Followed down to the one nearest pair of the whole set, this says what chance alone would bring.
    """
    count = len(pictures.numbers)
    rank = min(_RANK, count // 8)
    if rank < 2:
        return _Limits(_LEAST_COSINE, LEAST_LIKENESS)
    sample = np.unique(np.linspace(0, count - 1, _SAMPLE).astype(np.int64))
    ranked = [_ranked(pictures.cosines(row), (rank, _FARTHER * rank)) for row in sample]
    near, far = (_typical_distance(pictures, sample, np.array(rows)) for rows in zip(*ranked, strict=True))
    growth = np.clip(np.log(far / near) / np.log(_FARTHER), 0, _MOST_GROWTH)
    nearest = near * (2 / (count * rank)) ** growth
    cosines = [pictures.cosines(row)[neighbour] for row, (neighbour, _) in zip(sample, ranked, strict=True)]
    cosine = 1 - _NEARER * (1 - float(np.median(cosines)))
    return _Limits(max(_LEAST_COSINE, cosine), max(LEAST_LIKENESS, float(1 - nearest)))


def _ranked(cosines: Floats, ranks: tuple[int, int]) -> tuple[int, int]:
    """The rows of these ranks, from the nearest; rank 0 is the picture itself."""
    order = np.argpartition(-cosines, ranks)
    return int(order[ranks[0]]), int(order[ranks[1]])


def _typical_distance(pictures: _Pictures, rows: Places, others: Places) -> float:
    left, right = (pictures.thumbs[pictures.numbers[places]] for places in (rows, others))
    return max(1e-6, 1 - float(np.median(likeness_when_moved(left, right))))


def _candidates(pictures: _Pictures, cosine: float, progress: Callable[[float], None]) -> Iterator[Links]:
    """Pairs with at least this cosine, block by block; their similarity is not known yet."""
    count = len(pictures.numbers)
    for start in range(0, count, _ROWS):
        for at in range(start, count, _COLUMNS):
            block = _block(pictures.vectors, slice(start, start + _ROWS), slice(at, at + _COLUMNS), cosine)
            yield Links(pictures.numbers[block.left], pictures.numbers[block.right], block.similarity, block.mirrored)
        progress(min(1.0, (start + _ROWS) / count))


def _block(vectors: Directions, rows: slice, columns: slice, cosine: float) -> Links:
    even = vectors.even[rows] @ vectors.even[columns].T
    odd = vectors.odd[rows] @ vectors.odd[columns].T
    larger = np.abs(odd)
    larger += even
    found = np.flatnonzero(larger >= cosine)
    left, right = np.divmod(found, even.shape[1])
    left, right = left + rows.start, right + columns.start
    even, odd, once = even.ravel()[found], odd.ravel()[found], left < right
    straight, turned = once & (even + odd >= cosine), once & (even - odd >= cosine)
    mirrored = np.repeat([False, True], [straight.sum(), turned.sum()])
    left, right = (np.concatenate([places[straight], places[turned]]) for places in (left, right))
    return Links(left, right, np.full(len(left), np.nan, np.float32), mirrored)


def _gathered(blocks: Iterator[Links]) -> Iterator[Links]:
    """The same links in larger pieces: comparing a handful takes as long as comparing a thousand."""
    waiting: list[Links] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= _ENOUGH:
            yield _all_of(waiting)
            waiting = []
    yield _all_of(waiting)


def _alike(thumbs: Thumbnails, candidates: Links, least: float) -> Links:
    """Those of the candidates that are alike, a picture's best ones if there are many."""
    similarity = np.empty(len(candidates), np.float32)
    for start in range(0, len(candidates), _PAIRS):
        part = candidates.chosen(np.arange(start, min(start + _PAIRS, len(candidates))))
        others = thumbs[part.right]
        others[part.mirrored] = others[part.mirrored, :, ::-1]
        similarity[start : start + _PAIRS] = _similarity(thumbs[part.left], others, least)
    compared = Links(candidates.left, candidates.right, similarity, candidates.mirrored)
    links = compared.chosen(similarity >= least)
    return links.chosen((_rank(links.left, links) < _LINKS_KEPT) | (_rank(links.right, links) < _LINKS_KEPT))


def _similarity(ones: Thumbnails, others: Thumbnails, least: float) -> Floats:
    """Of each pair; those that could reach `least` are moved to find out."""
    similarity = likeness(ones, others)
    unsure = np.flatnonzero((similarity >= 1 - _SHIFTED * (1 - least)) & (similarity < least))
    worth = 1 - _ZOOMED * (1 - least)
    # Either of the two, as images may come in any order.
    one_way = likeness_when_moved(ones[unsure], others[unsure], worth)
    similarity[unsure] = np.maximum(one_way, likeness_when_moved(others[unsure], ones[unsure], worth))
    return similarity


def _rank(pictures: Places, links: Links) -> Places:
    """The place of each link among those of its picture, the most alike first."""
    order = np.lexsort((-links.similarity, pictures))
    starts = np.searchsorted(pictures[order], pictures[order])
    rank = np.empty(len(pictures), np.int64)
    rank[order] = np.arange(len(pictures)) - starts
    return rank
