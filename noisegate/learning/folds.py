"""Folds: a cell's training images in equal parts, so that each can be answered by what was trained on the others."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

MOST_FOLDS = 5
# Where a class has one image, it is missing from what answers that image: no known image could be more unknown.
_LEAST_FOLDS = 2

Places = Int64[np.ndarray, " _"]


class Fold(NamedTuple):
    """Places in the training set, rising: of what is trained on, noise included, and of the known images that are left out."""

    trained: Places
    left_out: Places


def fold_numbers(labels: Places, known_images: int, repeats: Places | None, seed: int) -> Places:
    """The fold of each training image, 0 … folds − 1: five of them, or as many as the smallest known class has images.

    Every class, the noise class too, is spread over the folds to within one image, so that what is trained without a fold sees
    all classes in the proportions of the whole training set. The folds of known images do not depend on the noise.

    Args:
        labels: of all training images, of which the first `known_images`, two or more different ones, are not noise.
        repeats: for each known image a number that it shares with its copies, which must all be in one fold; None where no
            image is repeated.
    """
    numbers = np.arange(known_images) if repeats is None else repeats
    _, first, own = np.unique(numbers, return_index=True, return_inverse=True)
    different = labels[first]
    sizes = np.bincount(different)
    folds = max(_LEAST_FOLDS, min(MOST_FOLDS, int(sizes[sizes > 0].min())))
    order = np.random.default_rng(seed).permutation(len(different))
    by_class = order[np.argsort(different[order], kind="stable")]
    dealt = np.empty(len(different), dtype=np.int64)
    # Dealt in one go, class after class, so that folds differ by one image at most.
    dealt[by_class] = np.arange(len(different)) % folds
    # Noise lies kind after kind: dealt in its order, each kind is spread evenly.
    found: Places = np.concatenate([dealt[own], np.arange(len(labels) - known_images) % folds])
    return found


def each_fold(numbers: Places, known_images: int) -> Iterator[Fold]:
    """The folds one after another."""
    for fold in range(int(numbers.max()) + 1):
        yield Fold(np.flatnonzero(numbers != fold), np.flatnonzero(numbers[:known_images] == fold))
