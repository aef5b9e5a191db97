"""Calibration by cross-validation: each training image answered by a layer that was trained without it."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from noisegate.evaluation.judging import judge_outcome
from noisegate.evaluation.references import make_reference
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import ExecutionOutcome, Held
from noisegate.learning.training import Diverged, Progress
from noisegate.rejection.scores import softmax
from tests.learning.factories import run_all
from tests.learning.test_regularisation import CLASSES, cell_of

# All images in each step, and many of them: what is left to chance are first weights, which a minimum forgets.
TO_THE_MINIMUM = {"epochs": 200, "batch_size": 60, "learning_rate": 0.1, "weight_decay": 0.1}

Pair = tuple[PreparedCell, ExecutionOutcome]


def run_one(cell: PreparedCell, **named: Any) -> ExecutionOutcome:
    (outcome,) = run_all(cell, [1], **named)
    assert isinstance(outcome, ExecutionOutcome)
    return outcome


def _held(outcome: ExecutionOutcome) -> Held:
    assert outcome.held is not None
    return outcome.held


@pytest.fixture(scope="module")
def trained() -> Pair:
    cell = cell_of(TO_THE_MINIMUM, calibration="cross_validated")
    return cell, run_one(cell)


@pytest.fixture(scope="module")
def expected(trained: Pair) -> np.ndarray:
    """Probabilities of every training image by scikit-learn, on the same folds."""
    cell, _ = trained
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (0.1 * 48), tol=1e-8, max_iter=2000))
    split = PredefinedSplit(cell.folds)
    shares: np.ndarray = cross_val_predict(peer, cell.inputs, cell.labels, cv=split, method="predict_proba")
    return shares


def test_each_image_is_answered_as_scikit_learns_cross_validation_answers_it(
    trained: Pair, expected: np.ndarray
) -> None:
    cell, outcome = trained
    assert (len(cell.inputs), len(cell.holdout_inputs)) == (60, 0)
    np.testing.assert_allclose(softmax(_held(outcome).answers.logits), expected, atol=2e-3)
    # The network itself, which was trained on them, answers otherwise.
    assert outcome.holdout_accuracy == (expected.argmax(axis=1) == cell.labels).mean()
    assert np.array_equal(_held(outcome).answers.features, cell.inputs)


def test_the_threshold_is_of_all_training_images(trained: Pair, expected: np.ndarray) -> None:
    _, outcome = trained
    found = outcome.calibration
    assert found is not None
    assert (found.source, found.samples, found.called_noise) == ("cross_validated", 60, 0)
    rising = np.sort(1 - expected.max(axis=1))
    # ⌈61 · 0.9⌉ of 60: the 55th; up to the step between two of 1,001 stored levels.
    assert rising[54] - 3e-3 <= found.threshold(0.1) <= rising[55] + 3e-3
    assert found.smallest_promise == pytest.approx(1 / 61, abs=1e-4)
    assert outcome.metrics.false_reject is not None


def test_it_judges(trained: Pair) -> None:
    cell, outcome = trained
    found = judge_outcome(cell, outcome)
    assert (found.measured_on, found.images, found.findings) == ("cross_validated", 60, [])
    assert found.correct == round(60 * (outcome.holdout_accuracy or 0))
    nothing = dataclasses.replace(outcome, held=dataclasses.replace(_held(outcome), labels=1 - cell.labels % 2))
    assert judge_outcome(cell, nothing).chosen_against


def test_no_image_is_compared_with_itself(trained: Pair) -> None:
    cell, outcome = trained
    found = make_reference(cell, outcome)
    assert found is not None
    assert cell.folds is not None
    distances = []
    rows = normalize(cell.inputs)
    for fold in range(5):
        others = NearestNeighbors(n_neighbors=5).fit(rows[cell.folds != fold])
        distances += others.kneighbors(rows[cell.folds == fold])[0][:, -1].tolist()
    quantiles = found.quantiles["knn"]
    assert (quantiles[0], quantiles[-1]) == pytest.approx((min(distances), max(distances)), abs=1e-5)
    np.testing.assert_allclose(found.fitted["knn"]["features"], rows, atol=1e-6)
    assert found.class_counts.tolist() == np.bincount(cell.labels, minlength=CLASSES).tolist()
    assert len(found.reject_scores) == 60


def test_an_execution_that_goes_on_from_a_checkpoint_ends_as_one_never_interrupted() -> None:
    cell = cell_of({"epochs": 6}, calibration="cross_validated")
    saved: dict[int, bytes] = {}

    def keep(progress: Progress, snapshot: Any) -> None:
        if progress.epoch == 4:
            saved[progress.seed] = snapshot()

    whole = run_one(cell, on_checkpoint=keep)
    resumed = run_one(cell_of({"epochs": 6}, calibration="cross_validated"), resume=saved)
    assert resumed.calibration == whole.calibration
    assert _held(resumed).answers.logits.tobytes() == _held(whole).answers.logits.tobytes()
    assert resumed.test_answers.logits.tobytes() == whole.test_answers.logits.tobytes()


def test_executions_differ_by_their_seeds_and_share_their_folds() -> None:
    cell = cell_of({"epochs": 2}, calibration="cross_validated")
    first, second = (one for one in run_all(cell, [1, 2]) if isinstance(one, ExecutionOutcome))
    for of_first, of_second in zip(_held(first).heads, _held(second).heads, strict=True):
        assert np.array_equal(of_first.fold.left_out, of_second.fold.left_out)
    assert (_held(first).answers.logits != _held(second).answers.logits).any()


def test_what_diverges_has_no_threshold() -> None:
    (found,) = run_all(cell_of({"learning_rate": 1e30, "weight_decay": 1.0}, calibration="cross_validated"), [1])
    assert isinstance(found, Diverged)
