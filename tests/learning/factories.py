"""Small data that a network can learn in a second, and specs to train on it."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from noisegate.evaluation.executions import run_executions
from noisegate.learning.cells import CellData, PreparedCell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.recipe import Precision
from noisegate.learning.states import TrainingSet
from noisegate.learning.training import Diverged, Progress, Trained, train
from noisegate.networks.building import Start, TrainableNetwork, architecture, fresh_network
from noisegate.networks.preprocessing import fitted
from noisegate.spec import PaperRecipe, TrainingExperiment, TrainingSpec
from noisegate.spec.recipes import OneCycleRecipe

CLASSES = ("red", "green", "blue")


def tinted_images(count: int, seed: int, image_size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Dim random images with one channel brighter than the others: which one is the class."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(CLASSES), count)
    images = generator.integers(0, 120, (count, image_size, image_size, 3), dtype=np.uint8)
    images[np.arange(count), :, :, labels] += 60
    return images, labels


def cell_data(train: int = 300, test: int = 100, image_size: int = 8) -> CellData:
    train_images, train_labels = tinted_images(train, 1, image_size)
    test_images, test_labels = tinted_images(test, 2, image_size)
    for array in (train_images, train_labels, test_images, test_labels):
        array.flags.writeable = False  # as memory maps are
    return CellData(CLASSES, train_images, train_labels, test_images, test_labels, dataset_hash="0" * 64)


def training_spec(**changes: Any) -> PaperRecipe:
    defaults: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 16,
        "learning_rate": 0.003,
        "first_layer_std": 0.1,
        "learning_rate_drop": None,
        "precision": "float32",
    }
    return PaperRecipe(**(defaults | changes))


def one_cycle(**changes: Any) -> OneCycleRecipe:
    """A few epochs of small batches, in float32."""
    defaults: dict[str, Any] = {"recipe": "one_cycle", "epochs": 3, "batch_size": 16, "precision": "float32"}
    return OneCycleRecipe(**(defaults | changes))


def fresh(
    network: str = "paper", image_size: int = 8, outputs: int = 3, seed: int = 0, first_layer_std: float = 0.1
) -> TrainableNetwork:
    """A network with first weights that `seed` decides."""
    generator, start = torch.Generator().manual_seed(seed), Start(first_layer_std=first_layer_std)
    return fresh_network(network, image_size=image_size, outputs=outputs, generator=generator, start=start)


def training_set(
    images: np.ndarray,
    labels: np.ndarray,
    spec: TrainingSpec,
    *,
    network: str = "paper",
    outputs: int = len(CLASSES),
    precision: Precision = "float32",
    device: str = "cpu",
) -> TrainingSet:
    """As `train` makes it; none of the images is noise."""
    statistics = architecture(network, image_size=images.shape[1], outputs=outputs).statistics
    return TrainingSet(
        images=torch.from_numpy(images).to(device),
        labels=torch.from_numpy(labels).to(device),
        preprocessing=fitted(statistics, images).to(device),
        network=network,
        outputs=outputs,
        spec=spec,
        precision=precision,
        known_images=len(images),
    )


def experiment_spec(**changes: Any) -> TrainingExperiment:
    defaults: dict[str, Any] = {
        "dataset": "tints",
        "image_size": 8,
        "training": training_spec(),
        "noise": {"family": "uniform", "quantity": 1},
    }
    return TrainingExperiment(**(defaults | changes))


def train_all(images: np.ndarray, labels: np.ndarray, **named: Any) -> list[Trained | Diverged]:
    """`train`, and what comes of all of its rounds: the paper's network on tints, of which none is noise, unless `named`."""
    usual: dict[str, Any] = {"network": "paper", "outputs": len(CLASSES), "known_images": len(images)}
    callbacks = {"between_batches": nothing, "on_epoch": ignore}
    return list(itertools.chain.from_iterable(train(images, labels, **(usual | callbacks | named))))


def run_all(cell: PreparedCell, seeds: Sequence[int], **named: Any) -> list[ExecutionOutcome | Diverged]:
    """`run_executions`, and what comes of all of its rounds; nobody is told of anything, unless `named` says so."""
    callbacks = {"between_batches": nothing, "on_epoch": ignore}
    return list(itertools.chain.from_iterable(run_executions(cell, seeds, **(callbacks | named))))


class Cancelled(Exception):
    """What a `Counter` raises."""


class Counter:
    """A callback between steps of work: counts its calls, and raises at the `stop_at`-th if there is one."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls = 0
        self.stop_at = stop_at

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.stop_at:
            raise Cancelled


def nothing() -> None:
    """As `between_batches`: never stops."""


def ignore(progress: Progress) -> None:
    """As `on_epoch`: tells nobody."""
