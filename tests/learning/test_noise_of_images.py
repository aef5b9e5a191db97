"""Images of another dataset as the noise class, and what an image of noise counts."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from noisegate.learning.cells import CellData, prepare_cell
from noisegate.learning.states import class_weights, fresh_state
from noisegate.learning.training import Together, Trained

from .factories import CLASSES, cell_data, experiment_spec, train_all, training_set, training_spec

FIELD = "noise.dataset"
IMAGES: dict[str, Any] = {"family": "images", "dataset": "others", "quantity": 0.5}


def numbered(count: int) -> CellData:
    """Images that are one gray level each, of four classes in turn: the level is the place, and tells the class."""
    levels = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3)).copy()
    labels = np.arange(count) % 4
    return CellData(("a", "b", "c", "d"), levels, labels, levels[:4], labels[:4], "1" * 64)


def taken(quantity: float, exclude: list[str], images: int = 120) -> list[int]:
    """The levels of the noise images of a cell whose classes have 100 images each."""
    noise = IMAGES | {"quantity": quantity, "exclude": exclude}
    cell = prepare_cell(
        experiment_spec(noise=noise, holdout=0), cell_data(train=300), 0, others={FIELD: numbered(images)}
    )
    assert (cell.labels[cell.known_images :] == len(CLASSES)).all()
    found = cell.inputs[cell.known_images :]
    assert (found == found[:, :1, :1, :1]).all(), "as they are"
    return [int(level) for level in found[:, 0, 0, 0]]


def test_noise_is_training_images_of_the_other_dataset_each_once() -> None:
    found = taken(0.5, [])
    assert len(found) == len(set(found)) == 50
    assert set(found) <= set(range(120))


def test_classes_that_are_left_out_give_none() -> None:
    assert {level % 4 for level in taken(0.5, ["b", "d"])} == {0, 2}


def test_where_there_are_too_few_all_are_taken_equally_often() -> None:
    counts = np.bincount(taken(1, [], images=40), minlength=40)
    assert counts.sum() == 100
    assert set(counts) == {2, 3}


def test_drawn_and_real_images_fill_the_class_together() -> None:
    noise = [{"family": "solid", "quantity": 0.1}, IMAGES]
    spec = experiment_spec(noise=noise, holdout=0)
    assert spec.other_datasets == {"noise.1.dataset": "others"}
    cell = prepare_cell(spec, cell_data(train=300), 0, others={"noise.1.dataset": numbered(120)})
    assert len(cell.inputs) == 300 + 10 + 50


@pytest.mark.parametrize("engine", ["separate", "grouped"])
def test_an_image_of_noise_counts_as_it_is_told(engine: Any) -> None:
    """One epoch in one batch, against PyTorch's weighted loss and optimizer called by hand."""
    generator = np.random.default_rng(1)
    images = generator.integers(0, 255, (24, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(24) % len(CLASSES)
    spec = training_spec(epochs=1, batch_size=24, momentum=0.0, weight_decay=0.0)
    named = {"spec": spec, "seeds": [4], "together": Together(1, engine), "known_images": 16, "noise_weight": 0.2}
    (found,) = train_all(images, labels, **named)
    assert isinstance(found, Trained)
    data = training_set(images, labels, spec)
    start = fresh_state(data, 4).module
    logits, _ = start(data.preprocessing(data.images).permute(0, 3, 1, 2))
    loss = functional.cross_entropy(logits, data.labels, weight=torch.tensor([1.0, 1.0, 0.2]))
    gradients = torch.autograd.grad(loss, list(start.parameters()))
    for parameter, gradient, trained in zip(start.parameters(), gradients, found.module.parameters(), strict=True):
        torch.testing.assert_close(trained, parameter - spec.learning_rate * gradient, rtol=1e-4, atol=1e-6)
    assert found.losses[0] == pytest.approx(loss.item(), rel=1e-5)


def test_all_count_alike_unless_told_otherwise() -> None:
    assert class_weights(3, 1.0) is None
