"""The weight decay that cross-validation chooses, beside the training loop it is chosen for, and beside scikit-learn."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from noisegate.errors import InvalidSpec
from noisegate.learning.cells import CellData, CellFeatures, PreparedCell, prepare_cell
from noisegate.learning.encoding import Encoder
from noisegate.learning.folds import fold_numbers
from noisegate.learning.regularisation import DECAYS, choose_weight_decay, train_side_by_side
from noisegate.learning.states import TrainingSet, class_weights
from noisegate.learning.subgroups import ScoredImages
from noisegate.learning.training import Trained
from noisegate.networks.linear.module import LinearHead
from noisegate.networks.preprocessing import fitted
from noisegate.regularisation import Regularisation
from noisegate.spec import TrainingExperiment
from noisegate.spec.recipes import LinearRecipe
from tests.learning.factories import Cancelled, Counter, train_all

WIDTH, CLASSES = 6, 3


def blobs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of three classes that overlap, as many of each."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % CLASSES)
    centres = np.random.default_rng(99).normal(0, 0.8, (CLASSES, WIDTH))
    return (centres[labels] + generator.normal(0, 1, (count, WIDTH))).astype(np.float32), labels


def recipe(**changes: object) -> LinearRecipe:
    return LinearRecipe.model_validate({"recipe": "linear", "epochs": 5, "batch_size": 16} | changes)


def chosen(features: np.ndarray, labels: np.ndarray, spec: LinearRecipe, **named: object) -> Regularisation:
    folds = fold_numbers(labels, len(labels), None, 3)
    usual: dict[str, object] = {"known_images": len(labels), "outputs": CLASSES, "seed": 4}
    return choose_weight_decay(features, labels, folds, spec=spec, **(usual | named))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "noise_weight"), [({}, 1.0), ({"momentum": 0.0}, 1.0), ({"equal_updates": True}, 1.0), ({}, 0.3)]
)
def test_side_by_side_they_are_what_the_training_loop_makes_of_each(
    changes: dict[str, object], noise_weight: float
) -> None:
    features, labels = blobs(60)
    known, spec = 48, recipe(learning_rate=0.05, **changes)
    data = TrainingSet(
        images=torch.from_numpy(features),
        labels=torch.from_numpy(labels),
        preprocessing=fitted("features", features),
        network="linear",
        outputs=CLASSES,
        spec=spec.model_copy(update={"weight_decay": 0.0}),
        precision="float32",
        known_images=known,
        class_weights=class_weights(CLASSES, noise_weight),
    )
    weights, biases = train_side_by_side(data, (0.0, 0.1, 2.0), 7, lambda: None)
    for place, decay in enumerate((0.0, 0.1, 2.0)):
        one = spec.model_copy(update={"weight_decay": decay})
        (trained,) = train_all(
            features,
            labels,
            network="linear",
            spec=one,
            seeds=[7],
            known_images=known,
            outputs=CLASSES,
            noise_weight=noise_weight,
        )
        assert isinstance(trained, Trained)
        assert isinstance(trained.module, LinearHead)
        torch.testing.assert_close(weights[place], trained.module.head.weight.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(biases[place], trained.module.head.bias.detach(), rtol=1e-4, atol=1e-5)


def test_trained_to_the_minimum_it_is_scikit_learns_cross_validation() -> None:
    features, labels = blobs(90)
    # All images in each step: nothing is left to chance, and the minimum is reached.
    found = chosen(features, labels, recipe(epochs=400, batch_size=90, learning_rate=0.1))
    split = PredefinedSplit(fold_numbers(labels, len(labels), None, 3))
    for candidate in found.candidates:
        if candidate.weight_decay < 0.03:
            continue  # a minimum so flat is far away
        peer = LogisticRegression(C=1 / (candidate.weight_decay * 72), tol=1e-8, max_iter=2000)
        shares = cross_val_predict(
            make_pipeline(StandardScaler(), peer), features, labels, cv=split, method="predict_proba"
        )
        assert candidate.log_loss == pytest.approx(log_loss(labels, shares), abs=2e-4)
    losses = {one.weight_decay: one.log_loss or math.inf for one in found.candidates}
    assert (list(losses), found.folds) == (list(DECAYS), 5)
    assert found.weight_decay == min(losses, key=lambda decay: (losses[decay], -decay))
    assert DECAYS[0] < found.weight_decay < DECAYS[-1], "neither end of the grid"


def test_the_same_arguments_choose_the_same_and_it_can_be_stopped() -> None:
    features, labels = blobs(60)
    assert chosen(features, labels, recipe()) == chosen(features, labels, recipe())
    steps = Counter(stop_at=9)
    with pytest.raises(Cancelled):
        chosen(features, labels, recipe(), between_steps=steps)


def test_of_candidates_that_all_diverge_none_has_a_loss() -> None:
    features, labels = blobs(60)
    found = chosen(features, labels, recipe(learning_rate=1e30))
    assert {one.log_loss for one in found.candidates} == {None}


def cell_of(training: Mapping[str, object], **changes: object) -> PreparedCell:
    """A cell whose features stand beside images that nobody looks at; without noise, no backbone is asked."""
    features, labels = blobs(60)
    pixels = np.zeros((60, 32, 32, 3), dtype=np.uint8)
    data = CellData(
        tuple("abc"),
        pixels,
        labels,
        pixels[:9],
        labels[:9],
        "",
        CellFeatures(features, features[:9], Encoder(b"", b"")),
    )
    document = {"dataset": "blobs", "network": {"backbone": "tf_efficientnet_lite0"}, "image_size": 32}
    spec = TrainingExperiment.model_validate(document | {"training": {"recipe": "linear", **training}} | changes)
    shares = np.linspace(0.4, 1, 60)
    predictions = np.where(np.arange(60) < 3, (labels + 1) % CLASSES, labels)
    return prepare_cell(spec, data, 0, scored=ScoredImages(labels, predictions, shares, shares))


def test_a_cell_is_trained_with_what_was_chosen_and_its_spec_stays() -> None:
    cell = cell_of({"epochs": 3})
    found = cell.regularisation
    assert found is not None
    assert isinstance(cell.training, LinearRecipe)
    assert isinstance(cell.spec.training, LinearRecipe)
    assert (cell.training.weight_decay, cell.spec.training.weight_decay) == (found.weight_decay, "auto")
    assert cell_of({"epochs": 3}).regularisation == found
    given = cell_of({"epochs": 3, "weight_decay": 0.1})
    assert (given.regularisation, given.training, given.folds) == (None, given.spec.training, None)


def test_the_holdout_takes_no_part_in_the_choice() -> None:
    cell = cell_of({"epochs": 3}, holdout=0.2)
    assert cell.folds is not None
    assert len(cell.folds) == len(cell.inputs) == 48


def test_one_training_image_is_too_few_to_choose_on() -> None:
    one = {"correct": "hc", "wrong": "hs", "fraction": 0.01}
    with pytest.raises(InvalidSpec) as caught:
        cell_of({"batch_size": 1}, subgroup=one, holdout=0)
    assert [error.field for error in caught.value.errors] == ["training.weight_decay"]
    assert cell_of({"batch_size": 1, "weight_decay": 0.1}, subgroup=one, holdout=0).known_images == 1
