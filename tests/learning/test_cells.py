"""A cell's training set: several kinds of noise, subgroups, and a holdout that nothing is made of."""

import numpy as np
import pytest

from noisegate.errors import InvalidSpec
from noisegate.learning.cells import CellData, prepare_cell
from noisegate.learning.subgroups import ScoredImages, choose_subgroup
from noisegate.noise.drawing import noise_images
from noisegate.seeds import derive_seed
from noisegate.spec import SubgroupSpec

from .factories import CLASSES, cell_data, experiment_spec

HALF = {"correct": "hc", "wrong": "ls", "fraction": 0.5, "selection": "as_published"}


def scored(data: CellData) -> ScoredImages:
    generator = np.random.default_rng(8)
    labels = np.array(data.train_labels)
    right = generator.random(len(labels)) < 0.7
    largest = generator.uniform(0.4, 1, len(labels))
    return ScoredImages(labels, np.where(right, labels, (labels + 1) % 3), largest, np.where(right, largest, 0.1))


def test_several_noises_fill_the_one_class_one_after_another() -> None:
    noise = [
        {"family": "uniform", "quantity": 0.2},
        {"family": "solid", "quantity": 0},
        {"family": "gray", "quantity": 0.3},
    ]
    spec = experiment_spec(noise=noise, holdout=0, seed=3)
    cell = prepare_cell(spec, cell_data(train=300), 2)
    assert len(cell.inputs) == 300 + 20 + 30
    assert (cell.labels[300:] == len(CLASSES)).all()
    generator = np.random.default_rng(derive_seed(3, "noise", 2))
    expected = [noise_images(generator, one, count, 8) for one, count in ((spec.noises[0], 20), (spec.noises[1], 30))]
    assert np.array_equal(cell.inputs[300:], np.concatenate(expected))


def test_patches_are_cut_from_training_images_and_never_from_the_holdout() -> None:
    # Each image is one gray level of its own, so that every patch tells where it comes from.
    data = cell_data(train=200)
    levels = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 8, 8, 3)).copy()
    told = CellData(data.classes, levels, data.train_labels, data.test_images, data.test_labels, "0" * 64)
    spec = experiment_spec(noise={"family": "structured", "kinds": ["patches"], "quantity": 5}, holdout=0.3)
    cell = prepare_cell(spec, told, 0)
    sources = set(np.unique(cell.inputs[cell.known_images :]).tolist())
    held = set(np.unique(cell.holdout_inputs).tolist())
    assert len(sources) > 50
    assert not sources & held
    assert sources <= set(np.unique(cell.inputs[: cell.known_images]).tolist())


def test_a_subgroup_is_chosen_among_what_the_holdout_leaves() -> None:
    data = cell_data(train=200)
    scores = scored(data)
    spec = experiment_spec(subgroup=HALF, holdout=0.2, noise={"family": "uniform", "quantity": 1})
    plain = prepare_cell(experiment_spec(holdout=0.2, noise=None), data, 0)
    cell = prepare_cell(spec, data, 0, scored=scores)
    assert cell.subgroup is not None
    indices = cell.subgroup.indices
    assert np.array_equal(cell.inputs[: cell.known_images], data.train_images[indices])
    assert np.array_equal(cell.labels[: cell.known_images], data.train_labels[indices])
    kept = {image.tobytes() for image in plain.inputs}
    assert {image.tobytes() for image in cell.inputs[: cell.known_images]} <= kept
    # 1× noise stays the mean class size of the whole dataset.
    assert len(cell.inputs) - cell.known_images == round(200 / 3)
    assert cell.subgroup.repeated_draws > 0, "ls as published repeats what hc holds"


def test_without_a_holdout_the_indices_are_those_of_the_selection() -> None:
    data = cell_data(train=200)
    scores = scored(data)
    cell = prepare_cell(experiment_spec(subgroup=HALF, holdout=0, noise=None), data, 1, scored=scores)
    expected = choose_subgroup(SubgroupSpec.model_validate(HALF), scores, 0)
    assert cell.subgroup is not None
    assert cell.subgroup.indices.tolist() == expected.indices.tolist()


def test_a_control_is_fixed_over_executions_and_differs_between_cells() -> None:
    data = cell_data(train=200)
    spec = experiment_spec(subgroup=HALF | {"control": "random"}, holdout=0, noise=None)
    drawn = [prepare_cell(spec, data, number, scored=scored(data)).inputs for number in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_a_subgroup_smaller_than_a_batch_is_no_training_set() -> None:
    spec = experiment_spec(subgroup=HALF | {"fraction": 0.05}, holdout=0, noise=None)
    with pytest.raises(InvalidSpec, match="fewer than a batch of 16"):
        prepare_cell(spec, cell_data(train=200), 0, scored=scored(cell_data(train=200)))
