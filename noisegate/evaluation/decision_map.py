"""Decision maps (the paper's Figure 13): clusters of points in the plane, and which part of it goes to which class.

The paper's figure is a drawing; this is the experiment that it draws. Without a noise class the whole plane is divided
among the classes, however far from their points; with one, each class keeps an island around its own.
"""

import string
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from pydantic import JsonValue
from scipy.special import ndtr, ndtri
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from noisegate.evaluation.analysis import Analysis
from noisegate.spec import NOISE_CLASS, DecisionMapExperiment

Positions = Float64[np.ndarray, "n 2"]
Labels = Int64[np.ndarray, " n"]

_CENTRE, _RADIUS = 0.5, 0.3
_TEST_POINTS = 1000  # a cluster
_DRAWN_POINTS = 100  # a class, so that details stay small
_GRID = 101  # points along each axis, 0.01 apart
_FAR = 4  # standard deviations: 1 in 3,000 of a cluster's points lies beyond
_LEARNING_RATE = 0.005  # Adam's usual 0.001 leaves islands that reach the border after 100 epochs
_BATCH_SIZE = 100


@dataclass(frozen=True)
class Points:
    """Points of the unit square and their classes: 0 … clusters − 1, and `clusters` for noise."""

    positions: Float64[np.ndarray, "n 2"]
    labels: Int64[np.ndarray, " n"]


def map_decisions(
    spec: DecisionMapExperiment, data_seed: int, seed: int, between_epochs: Callable[[], None]
) -> Analysis:
    """Train a small network on the clusters, with noise if asked for, and see what it decides all over the square.

    The same arguments give the same bytes on one machine.

    Args:
        data_seed: draws training, noise and test points, which are fixed over a cell's executions. The clusters' points
            are the same with and without noise.
        seed: draws the initial weights and the order of the points.
        between_epochs: called before each epoch. Whatever it raises passes through.

    Returns:
        Measures (shares, 0 … 1) `area_A`, `area_B`, … and `area_noise` of the square, which sum to 1; `accuracy` on
        fresh points of the clusters and `noise_share`, how many of them are called noise; and `reject_score_far`, the
        mean reject score (1 − the largest probability of a cluster) where no cluster is within 4 standard deviations,
        None if there is no such place. Details `classes`, `regions` (a string a row from y = 0 upwards, a character a
        point, `.` for noise) and `points` ([x, y, class], at most 100 a class), to draw.
    """
    for_clusters, for_noise, for_test = np.random.default_rng(data_seed).spawn(3)
    training = _with_noise(draw_clusters(for_clusters, spec, spec.points_per_cluster), for_noise, spec)
    classifier = _train(training, spec, seed, between_epochs)
    test = draw_clusters(for_test, spec, _TEST_POINTS)
    called = _probabilities(classifier, test.positions).argmax(axis=1)
    grid = grid_points()
    on_grid = _probabilities(classifier, grid)
    return Analysis(
        measures={
            **_areas(on_grid.argmax(axis=1), spec.clusters),
            "accuracy": float((called == test.labels).mean()),
            "noise_share": float((called == spec.clusters).mean()),
            "reject_score_far": _mean_reject_score(on_grid[_is_far(grid, spec)], spec.clusters),
        },
        details={
            "classes": [*_names(spec), *([NOISE_CLASS] if spec.noise_quantity > 0 else [])],
            "regions": _regions(on_grid.argmax(axis=1), spec),
            "points": _drawn(training, spec),
        },
    )


def cluster_centres(clusters: int) -> Float64[np.ndarray, "clusters 2"]:
    """On a circle of radius 0.3 around the middle of the square: the first on top, the others to its left and on."""
    angles = np.pi / 2 + 2 * np.pi * np.arange(clusters) / clusters
    return _CENTRE + _RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def draw_clusters(generator: np.random.Generator, spec: DecisionMapExperiment, count: int) -> Points:
    """`count` points of each cluster, one cluster after the other: Gaussian, given that they lie in the square."""
    labels = np.repeat(np.arange(spec.clusters), count)
    centres = cluster_centres(spec.clusters)[labels]
    # The inverse distribution function between those of the borders: as if points outside were drawn again.
    lowest, highest = ndtr(-centres / spec.cluster_std), ndtr((1 - centres) / spec.cluster_std)
    offsets = spec.cluster_std * ndtri(generator.uniform(lowest, highest))
    return Points(np.clip(centres + offsets, 0, 1), labels)


def noise_points(spec: DecisionMapExperiment) -> int:
    """How many noise points the network trains on; 0 without a noise class."""
    return max(1, round(spec.noise_quantity * spec.points_per_cluster)) if spec.noise_quantity > 0 else 0


def grid_points() -> Float64[np.ndarray, "points 2"]:
    """The map's 101 × 101 points from (0, 0) to (1, 1), row by row."""
    along = np.linspace(0, 1, _GRID)
    x, y = np.meshgrid(along, along)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _with_noise(clusters: Points, generator: np.random.Generator, spec: DecisionMapExperiment) -> Points:
    noise = generator.uniform(size=(noise_points(spec), 2))
    return Points(
        np.concatenate([clusters.positions, noise]),
        np.concatenate([clusters.labels, np.full(len(noise), spec.clusters)]),
    )


def _train(points: Points, spec: DecisionMapExperiment, seed: int, between_epochs: Callable[[], None]) -> MLPClassifier:
    classifier = MLPClassifier(
        hidden_layer_sizes=(spec.hidden_units, spec.hidden_units),
        learning_rate_init=_LEARNING_RATE,
        batch_size=min(_BATCH_SIZE, len(points.labels)),
        # A state, not an integer: from an integer scikit-learn would shuffle every epoch alike.
        random_state=np.random.RandomState(np.random.PCG64(seed)),
    )
    classes = np.unique(points.labels)
    # One thread: matrices so small gain nothing from more, and on busy cores these wait for each other.
    with threadpool_limits(1):
        for _ in range(spec.epochs):
            between_epochs()
            classifier.partial_fit(_scaled(points.positions), points.labels, classes=classes)
    return classifier


def _probabilities(classifier: MLPClassifier, positions: Positions) -> Float64[np.ndarray, "n outputs"]:
    probabilities: Float64[np.ndarray, "n outputs"] = classifier.predict_proba(_scaled(positions))
    return probabilities


def _scaled(positions: Positions) -> Positions:
    """From 0 … 1 to −1 … 1: initial weights of networks are made for inputs around 0."""
    return 2 * positions - 1


def _names(spec: DecisionMapExperiment) -> str:
    return string.ascii_uppercase[: spec.clusters]


def _areas(called: Labels, clusters: int) -> dict[str, float]:
    counts = np.bincount(called, minlength=clusters + 1)
    names = [*string.ascii_uppercase[:clusters], NOISE_CLASS]
    return {f"area_{name}": float(count / len(called)) for name, count in zip(names, counts, strict=True)}


def _is_far(positions: Positions, spec: DecisionMapExperiment) -> Bool[np.ndarray, " n"]:
    to_centres = positions[:, np.newaxis] - cluster_centres(spec.clusters)
    result: Bool[np.ndarray, " n"] = np.linalg.norm(to_centres, axis=2).min(axis=1) > _FAR * spec.cluster_std
    return result


def _mean_reject_score(probabilities: Float64[np.ndarray, "n outputs"], clusters: int) -> float | None:
    return float(1 - probabilities[:, :clusters].max(axis=1).mean()) if len(probabilities) else None


def _regions(called: Labels, spec: DecisionMapExperiment) -> list[JsonValue]:
    symbols = np.array([*_names(spec), "."])
    return ["".join(row) for row in symbols[called].reshape(_GRID, _GRID)]


def _drawn(points: Points, spec: DecisionMapExperiment) -> list[JsonValue]:
    drawn: list[JsonValue] = []
    for label, symbol in enumerate([*_names(spec), "."]):
        shown = points.positions[points.labels == label][:_DRAWN_POINTS].round(3).tolist()
        drawn += [[x, y, symbol] for x, y in shown]
    return drawn
