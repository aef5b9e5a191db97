"""Mahalanobis distance to the nearest class, by direction in feature space (Mahalanobis++; Müller and Hein 2025)."""

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from noisegate.rejection.knn import unit_rows
from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer, TrainingAnswers

# Directions whose variance is kept one by one: 330 KB of the widest backbones' 1,280 features, where a whole matrix takes 6.5 MB.
_DIRECTIONS = 64
# Of features at length 1: below it, images of a class are alike to float32.
_LEAST_VARIANCE = 1e-12


class Mahalanobis(Scorer):
    """Squared Mahalanobis distance of an image's features, at length 1, to the mean of the nearest class; from 0 up.

    The classes share one covariance, that of the differences from their means. Few training images tell little about it, so it is
    shrunk towards a multiple of the identity as Ledoit and Wolf (2004) choose, and all but its 64 largest variances are
    replaced by their mean.
    """

    name = "mahalanobis"
    higher_is_known = False
    description = (
        "squared Mahalanobis distance in feature space to the nearest class, of Müller and Hein 2025 (Mahalanobis++), "
        "where the model stores what it takes"
    )
    arrays = ("centre", "directions", "classes", "offsets", "variance")

    @override
    def fit(self, training: TrainingAnswers) -> Fitted:
        """The distance to class c of features z, less their mean (`centre` [width]), is z'Pz − 2 z'Pm + m'Pm, m the class mean.

        The precision P is (1 − D'D) / variance: `directions` D, float32 [directions, width], and the `variance` [1] of all
        other directions. `classes` Pm, float32 [classes, width]; `offsets` m'Pm, [classes]. Classes without an image are left out.
        """
        units = unit_rows(training.features).astype(np.float64)
        present, places, counts = np.unique(training.labels, return_inverse=True, return_counts=True)
        means = np.zeros((len(present), units.shape[1]))
        np.add.at(means, places, units)
        means /= counts[:, np.newaxis]
        centre = units.mean(axis=0)
        directions, variance = _precision(units - means[places])
        means -= centre
        of_classes = (means - (means @ directions.T) @ directions) / variance
        return {
            "centre": centre.astype(np.float32),
            "directions": directions.astype(np.float32),
            "classes": of_classes.astype(np.float32),
            "offsets": np.einsum("ij,ij->i", means, of_classes),
            "variance": np.array([variance]),
        }

    @override
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """The distance of each image, float64 [n]; raises ValueError if `features` have another width than the fitted ones."""
        rows = unit_rows(features) - fitted["centre"]
        along = rows @ fitted["directions"].T
        own = (np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", along, along)) / fitted["variance"][0]
        to_classes = fitted["offsets"] - 2 * (rows @ fitted["classes"].T)
        distances: Rows = np.maximum(0.0, own + to_classes.min(axis=1))
        return distances


def _precision(differences: Rows) -> tuple[Rows, float]:
    """`directions` [directions, width] and the variance of what is orthogonal to them, as `Mahalanobis.fit` defines them."""
    width = differences.shape[1]
    shrinkage, mean = ledoit_wolf(differences)
    _, lengths, axes = np.linalg.svd(differences, full_matrices=False)
    variances = lengths**2 / len(differences)
    kept = min(_DIRECTIONS, len(variances), max(1, width - 1))
    rest = max(0.0, width * mean - variances[:kept].sum()) / max(1, width - kept)
    variance = max(_LEAST_VARIANCE, (1 - shrinkage) * rest + shrinkage * mean)
    shrunk = np.maximum(variance, (1 - shrinkage) * variances[:kept] + shrinkage * mean)
    return np.sqrt(1 - variance / shrunk)[:, np.newaxis] * axes[:kept], variance


def ledoit_wolf(differences: Rows) -> tuple[float, float]:
    """How far to shrink the covariance of `differences` [n, width], whose mean is 0, and towards which variance.

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices": the shrinkage, 0 … 1, and the
    mean of the variances.
    """
    count, width = differences.shape
    products = differences @ differences.T
    lengths = np.diag(products)
    mean = float(lengths.sum() / count / width)
    size = (products**2).sum() / count**2
    apart = size - width * mean**2
    if apart <= 0:
        return 1.0, mean
    scatter = ((lengths**2).sum() / count - size) / count
    return float(np.clip(scatter / apart, 0, 1)), mean
