"""Datasets with planted label noise: which labels were flipped is known, as those who rank the images do not."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from photograph_features import features_of
from sklearn.datasets import load_digits
from train_parts.accuracy import read_archive

from noisegate.learning.cells import CellData, CellFeatures
from noisegate.learning.encoding import Encoder
from noisegate.seeds import derive_seed

Kind = Literal["uniform", "nearest"]
SHARE = 0.05
_FLOWERS_A_CLASS, _FLOWERS_TRAINED, _SIZE = 300, 200, 32


class Planted(NamedTuple):
    """A dataset in which some training labels are wrong, and which."""

    data: CellData
    flipped: np.ndarray


def digits() -> CellData:
    """1,437 training images of 8 × 8 pixels, ten classes."""
    scans = load_digits()
    images = np.repeat(np.rint(scans.images * (255 / 16)).astype(np.uint8)[..., None], 3, axis=3)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1437], order[1437:]
    labels = scans.target.astype(np.int64)
    names = tuple(str(digit) for digit in range(10))
    return CellData(names, images[train], labels[train], images[test], labels[test], "0" * 64)


def cifar10(archive: Path, train: int | None) -> CellData:
    """The copy of CIFAR-10, or as many of its training images."""
    (images, labels), (test_images, test_labels) = read_archive(archive)
    chosen = np.random.default_rng(0).permutation(len(labels))[:train]
    names = tuple(f"class {number}" for number in range(int(labels.max()) + 1))
    return CellData(names, images[chosen], labels[chosen], test_images, test_labels, "0" * 64)


def flowers(archive: Path, kept: Path) -> CellData:
    """Features of 300 photographs of each of five classes by the embedded backbone; 200 of each are trained on."""
    found = features_of(archive, kept, _FLOWERS_A_CLASS)
    order = np.random.default_rng(0).permutation(len(found.labels))
    per_class = [order[found.labels[order] == label] for label in range(int(found.labels.max()) + 1)]
    train = np.concatenate([places[:_FLOWERS_TRAINED] for places in per_class])
    test = np.concatenate([places[_FLOWERS_TRAINED:] for places in per_class])
    train = np.random.default_rng(1).permutation(train)
    blank = np.zeros((1, _SIZE, _SIZE, 3), np.uint8)
    # Nothing is drawn here, so no image is looked at.
    features = CellFeatures(found.features[train], found.features[test], Encoder(b"", b""))
    pixels = [np.broadcast_to(blank, (len(part), *blank.shape[1:])) for part in (train, test)]
    names = tuple(f"flower {number}" for number in range(len(per_class)))
    return CellData(names, pixels[0], found.labels[train], pixels[1], found.labels[test], "0" * 64, features)


def plant(data: CellData, kind: Kind, seed: int = 0) -> Planted:
    """A twentieth of the training labels flipped: to any other class alike, or to the one whose mean image is nearest."""
    generator = np.random.default_rng(derive_seed(seed, "planted", kind))
    count, classes = len(data.train_labels), len(data.classes)
    flipped = np.sort(generator.permutation(count)[: round(SHARE * count)])
    other = _OTHERS[kind](data, classes, generator, flipped)
    labels = np.array(data.train_labels)
    labels[flipped] = other
    return Planted(dataclasses.replace(data, train_labels=labels), flipped)


def _uniform(data: CellData, classes: int, generator: np.random.Generator, places: np.ndarray) -> np.ndarray:
    drawn: np.ndarray = (data.train_labels[places] + generator.integers(1, classes, len(places))) % classes
    return drawn


def _nearest(data: CellData, classes: int, generator: np.random.Generator, places: np.ndarray) -> np.ndarray:  # noqa: ARG001
    inputs = np.asarray(data.train_inputs, np.float32).reshape(len(data.train_labels), -1)
    means = np.stack([inputs[data.train_labels == label].mean(axis=0) for label in range(classes)])
    distances = np.linalg.norm(means[:, None] - means[None], axis=2) + np.diag(np.full(classes, np.inf))
    nearest: np.ndarray = distances.argmin(axis=1)[data.train_labels[places]]
    return nearest


_OTHERS: dict[Kind, Callable[[CellData, int, np.random.Generator, np.ndarray], np.ndarray]] = {
    "uniform": _uniform,
    "nearest": _nearest,
}
