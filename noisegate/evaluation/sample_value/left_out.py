"""What a linear layer on a network's features says of each image that it was fitted without, for all images at the cost of one fit.

Ridge regression of the classes: its residual without an image is its residual with it over one less the image's leverage
(Allen's PRESS; Hastie, Tibshirani and Friedman, 2009, equation 7.64), so nothing is fitted anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

# Times the number of images: of features that were scaled to deviation 1, from hardly any penalty to hardly any layer.
_PENALTIES = 10.0 ** np.arange(-5, 1.5, 0.5)
# Images by which the penalty is chosen.
_ASKED = 4096
_ROWS = 2048
# An image that alone decides what is said of it: without it, nothing is.
_LEAST_REST = 1e-6
# Of the logarithm of what the outputs are multiplied by, to be probabilities.
_SHARPNESS = (-5.0, 8.0)


def left_out_probabilities(
    features: Float[np.ndarray, "n width"], labels: Int64[np.ndarray, " n"], check: Callable[[], None] = lambda: None
) -> Float64[np.ndarray, " n"]:
    """The probability of each image's label, by the layer fitted to all other images.

    Every class counts alike, however many images it has. The penalty is the one with the least squared error on left-out images,
    and outputs are made probabilities by the one factor with the least log loss on them. NaN where there is but one class.

    Args:
        check: called between parts of the work; whatever it raises passes through.
    """
    _, classes = np.unique(labels, return_inverse=True)
    if classes.max() == 0:
        return np.full(len(labels), np.nan)
    ridge = _fitted(features, classes, check)
    asked = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), _ASKED)).round().astype(np.int64))
    turned = ridge.turned(asked)
    errors = [ridge.error(asked, turned, penalty) for penalty in _PENALTIES]
    penalty = float(_PENALTIES[int(np.argmin(errors))])
    outputs = np.empty((len(labels), int(classes.max()) + 1), np.float32)
    for rows in _parts(len(labels)):
        outputs[rows] = ridge.left_out(rows, ridge.turned(rows), penalty)
        check()
    return _probabilities(outputs, classes, ridge.weights)


@dataclass(frozen=True)
class _Ridge:
    """Weighted ridge regression of one-hot classes, for any penalty.

    Attributes:
        weights: of the images: they sum to the number of images, and those of each class to the same.
        mean, scale: of the features.
        directions, strengths: eigenvectors and eigenvalues of the scaled features' weighted covariance.
        pull: the covariance of each direction with the classes.
    """

    features: Float[np.ndarray, "n width"]
    targets: Int64[np.ndarray, " n"]
    weights: Float64[np.ndarray, " n"]
    mean: Float32[np.ndarray, " width"]
    scale: Float32[np.ndarray, " width"]
    directions: Float32[np.ndarray, "width width"]
    strengths: Float64[np.ndarray, " width"]
    pull: Float64[np.ndarray, "width classes"]

    def turned(self, rows: slice | Int64[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows width"]:
        """Features of these images, along the directions."""
        along: Float32[np.ndarray, "rows width"] = _scaled(self.features[rows], self.mean, self.scale) @ self.directions
        return along

    def left_out(
        self, rows: slice | Int64[np.ndarray, " rows"], turned: Float32[np.ndarray, "rows width"], penalty: float
    ) -> Float64[np.ndarray, "rows classes"]:
        """What the fit without each of the images says of it."""
        classes, count = self.pull.shape[1], len(self.features)
        shrunk = 1 / (self.strengths + penalty)
        said = 1 / classes + turned @ (shrunk[:, None] * self.pull)
        leverage = self.weights[rows] / count * (1 + turned**2 @ shrunk)
        wanted = np.eye(classes)[self.targets[rows]]
        without: Float64[np.ndarray, "rows classes"] = (
            wanted - (wanted - said) / np.maximum(_LEAST_REST, 1 - leverage)[:, None]
        )
        return without

    def error(
        self, rows: Int64[np.ndarray, " rows"], turned: Float32[np.ndarray, "rows width"], penalty: float
    ) -> float:
        """Squared, of these images left out, each class counting alike."""
        wanted = np.eye(self.pull.shape[1])[self.targets[rows]]
        squares = ((wanted - self.left_out(rows, turned, penalty)) ** 2).sum(axis=1)
        return float(self.weights[rows] @ squares)


def _fitted(
    features: Float[np.ndarray, "n width"], targets: Int64[np.ndarray, " n"], check: Callable[[], None]
) -> _Ridge:
    """Sums are taken part by part, so that no copy of all features is held."""
    count, width = features.shape
    sizes = np.bincount(targets)
    weights = (count / len(sizes) / sizes)[targets]
    mean, scale = _moments(features, weights / count)
    covariance, pull = np.zeros((width, width)), np.zeros((width, len(sizes)))
    for rows in _parts(count):
        own, weight = _scaled(features[rows], mean, scale), (weights[rows, None] / count).astype(np.float32)
        covariance += (weight * own).T @ own
        pull += (weight * own).T @ (np.eye(len(sizes), dtype=np.float32)[targets[rows]] - np.float32(1 / len(sizes)))
        check()
    strengths, directions = np.linalg.eigh(covariance)
    return _Ridge(
        features=features,
        targets=targets,
        weights=weights,
        mean=mean,
        scale=scale,
        directions=directions.astype(np.float32),
        strengths=np.maximum(0, strengths),
        pull=directions.T @ pull,
    )


def _moments(
    features: Float[np.ndarray, "n width"], shares: Float64[np.ndarray, " n"]
) -> tuple[Float32[np.ndarray, " width"], Float32[np.ndarray, " width"]]:
    """Weighted mean and standard deviation; 1 where a feature is the same of all images, as it says nothing at any scale."""
    mean, square = np.zeros((2, features.shape[1]))
    for rows in _parts(len(features)):
        own = features[rows].astype(np.float64)
        mean += shares[rows] @ own
        square += shares[rows] @ own**2
    deviation = np.sqrt(np.maximum(0, square - mean**2))
    varies = deviation > np.finfo(np.float32).eps * np.sqrt(square)
    return mean.astype(np.float32), np.where(varies, deviation, 1).astype(np.float32)


def _scaled(
    features: Float[np.ndarray, "rows width"], mean: Float32[np.ndarray, " width"], scale: Float32[np.ndarray, " width"]
) -> Float32[np.ndarray, "rows width"]:
    scaled: Float32[np.ndarray, "rows width"] = (np.asarray(features, np.float32) - mean) / scale
    return scaled


def _probabilities(
    outputs: Float32[np.ndarray, "n classes"], labels: Int64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Of the labels; each class counts alike in the log loss."""
    places = np.arange(len(labels))

    def logarithms(sharpness: float) -> Float64[np.ndarray, " n"]:
        found: Float64[np.ndarray, " n"] = log_softmax(outputs * np.exp(sharpness), axis=1)[places, labels]
        return found.astype(np.float64)

    best = minimize_scalar(lambda one: -weights @ logarithms(one), bounds=_SHARPNESS, method="bounded")
    found: Float64[np.ndarray, " n"] = np.exp(logarithms(float(best.x)))
    return found


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, count, _ROWS))
