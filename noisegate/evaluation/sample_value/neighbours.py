"""What an image's nearest neighbours say of it, by a network's features: how far they are, and whether they have its label."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

_NEIGHBOURS = 10
# Of neighbours whose labels are asked for: fewer agree by chance, more belong to other classes.
_VOTES = 20
# Directions that distances are taken in: more would take longer and tell the same.
_DIRECTIONS = 64
_ROWS = 2048
_LEAST_WEIGHT = 1e-6
# Beyond the upper quartile, in distances between the quartiles: Tukey's far outliers.
_FAR = 3.0


@dataclass(frozen=True)
class Neighbours:
    """Of n images, each beside its nearest others.

    Attributes:
        distance: the mean cosine distance to the ten nearest, 0 … 2.
        outlier: whether that lies far above the other images'.
        agreement: the share of the 20 nearest that have its label, each by its cosine, 0 … 1. The image's own label has no say
            in it, so it is out of sample although nothing was trained anew.
    """

    distance: Float[np.ndarray, " n"]
    outlier: Bool[np.ndarray, " n"]
    agreement: Float[np.ndarray, " n"]


def find_neighbours(
    features: Float[np.ndarray, "n width"], labels: Int64[np.ndarray, " n"], check: Callable[[], None] = lambda: None
) -> Neighbours:
    """What the nearest neighbours of each image say of it.

    Args:
        check: called between parts of the search; whatever it raises passes through.
    """
    count = min(_VOTES, len(features) - 1)
    if count < 1:
        return Neighbours(np.zeros(len(features)), np.zeros(len(features), np.bool_), np.full(len(features), np.nan))
    vectors = _directions(np.asarray(features, np.float32))
    search = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(vectors)
    found, agreement = np.empty((2, len(vectors)))
    for start in range(0, len(vectors), _ROWS):
        rows = slice(start, start + _ROWS)
        distances, places = search.kneighbors(vectors[rows])
        # The nearest is the image itself; of unit vectors half the squared distance is one less the cosine.
        away = distances[:, 1:] ** 2 / 2
        found[rows] = away[:, :_NEIGHBOURS].mean(axis=1)
        weights = np.maximum(1 - away, _LEAST_WEIGHT)
        alike = labels[places[:, 1:]] == labels[rows, None]
        agreement[rows] = (weights * alike).sum(axis=1) / weights.sum(axis=1)
        check()
    low, high = np.quantile(found, [0.25, 0.75])
    return Neighbours(found, found > high + _FAR * (high - low), agreement)


def probability_by_agreement(agreement: Float[np.ndarray, " n"], classes: int) -> Float[np.ndarray, " n"]:
    """The label's probability by Laplace's rule: as if one neighbour more of each class had been seen."""
    seen = min(_VOTES, len(agreement) - 1)
    return (seen * agreement + 1) / (seen + classes)


def _directions(features: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n directions"]:
    """Unit vectors of the features about their mean, in the directions in which they differ most."""
    most = min(_DIRECTIONS, *features.shape)
    # Exact and without chance, whatever the size: the covariance is small.
    vectors = (
        PCA(most, svd_solver="covariance_eigh").fit_transform(features)
        if features.shape[1] > most
        else features - features.mean(0)
    )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
