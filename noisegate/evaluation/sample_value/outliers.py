"""Images that are far from all others by a network's features: the mean distance to their nearest neighbours."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

_NEIGHBOURS = 10
# Directions that distances are taken in: more would take longer and tell the same.
_DIRECTIONS = 64
_ROWS = 2048
# Beyond the upper quartile, in distances between the quartiles: Tukey's far outliers.
_FAR = 3.0


@dataclass(frozen=True)
class Outliers:
    """Of n images: the mean cosine distance to the ten nearest others, 0 … 2, and which are outliers."""

    distance: Float[np.ndarray, " n"]
    outlier: Bool[np.ndarray, " n"]


def find_outliers(features: Float[np.ndarray, "n width"], check: Callable[[], None] = lambda: None) -> Outliers:
    """Images whose distance lies far above the others'.

    Args:
        check: called between parts of the search; whatever it raises passes through.
    """
    neighbours = min(_NEIGHBOURS, len(features) - 1)
    if neighbours < 1:
        return Outliers(np.zeros(len(features)), np.zeros(len(features), np.bool_))
    vectors = _directions(np.asarray(features, np.float32))
    search = NearestNeighbors(n_neighbors=neighbours + 1, algorithm="brute").fit(vectors)
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), _ROWS):
        distances, _ = search.kneighbors(vectors[start : start + _ROWS])
        # Of unit vectors half the squared distance is one less the cosine; the nearest is the image itself.
        found[start : start + _ROWS] = (distances[:, 1:] ** 2 / 2).mean(axis=1)
        check()
    low, high = np.quantile(found, [0.25, 0.75])
    return Outliers(found, found > high + _FAR * (high - low))


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
