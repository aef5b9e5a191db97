"""What a network remembers of known images: features of training images, everything else of the holdout."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.evaluation.references import _of_each_class, make_reference
from noisegate.learning.cells import PreparedCell, prepare_cell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import predict
from noisegate.rejection.knn import unit_rows
from noisegate.rejection.reference import compute_scores
from tests.learning.factories import CLASSES, cell_data, experiment_spec, run_all

Pair = tuple[PreparedCell, ExecutionOutcome]


def trained_on(holdout: float) -> Pair:
    cell = prepare_cell(experiment_spec(holdout=holdout), cell_data(), 0)
    (outcome,) = run_all(cell, [1])
    assert isinstance(outcome, ExecutionOutcome)
    return cell, outcome


@pytest.fixture(scope="module")
def trained() -> Pair:
    return trained_on(0.25)


def test_without_a_holdout_there_is_none() -> None:
    assert make_reference(*trained_on(0)) is None


def test_features_are_those_of_training_images_of_known_classes(trained: Pair) -> None:
    cell, outcome = trained
    found = make_reference(cell, outcome)
    assert found
    _, features = predict(outcome.trained.module, outcome.trained.preprocessing, cell.inputs[: cell.known_images])
    # Fewer than a thousand: all of them, in their order.
    remembered = found.fitted["knn"]["features"]
    np.testing.assert_allclose(remembered, unit_rows(features), atol=1e-6)
    assert np.allclose(np.linalg.norm(remembered, axis=1), 1)


def test_all_else_is_of_the_holdout_and_none_of_the_test_set(trained: Pair) -> None:
    cell, outcome = trained
    found = make_reference(cell, outcome)
    assert found
    assert outcome.held
    held = outcome.held.answers
    shares = np.exp(held.logits - held.logits.max(axis=1, keepdims=True)).astype(float)
    shares /= shares.sum(axis=1, keepdims=True)
    assert found.reject_scores == pytest.approx(np.sort(1 - shares[:, : len(CLASSES)].max(axis=1)), abs=1e-6)
    assert found.class_counts.tolist() == np.bincount(cell.holdout_labels, minlength=len(CLASSES)).tolist()
    start = 0
    for name in range(len(CLASSES)):
        own = np.sort(1 - shares[cell.holdout_labels == name, name])
        assert found.nonconformity[start : start + len(own)] == pytest.approx(own, abs=1e-6)
        start += len(own)
    assert found.held
    assert found.held.correct is not None
    assert found.held.correct.mean() == outcome.holdout_accuracy
    known = held.logits[:, : len(CLASSES)]
    energies = np.sort(-compute_scores(known, held.features, None)["energy"])
    assert (found.quantiles["energy"][0], found.quantiles["energy"][-1]) == (energies[0], energies[-1])
    poisoned = Answers(np.full_like(outcome.test_answers.logits, 1e6), np.zeros_like(outcome.test_answers.features))
    again = make_reference(cell, dataclasses.replace(outcome, test_answers=poisoned))
    assert again
    assert again.to_bytes() == found.to_bytes()


def test_thresholds_reject_at_most_their_share_of_the_holdout(trained: Pair) -> None:
    cell, outcome = trained
    found = make_reference(cell, outcome)
    assert found
    assert outcome.held
    held = outcome.held.answers
    columns = compute_scores(held.logits[:, : len(CLASSES)], held.features, found)
    for share in (0.01, 0.05, 0.2):
        level = np.array([round((1 - share) * 1000)])
        for name, values in columns.items():
            (bound,) = found.thresholds(name, level)
            beyond = values > bound if name in ("entropy", "knn", "mahalanobis", "vim") else values < bound
            assert beyond.mean() <= share


def test_the_temperature_is_the_holdouts(trained: Pair) -> None:
    _, outcome = trained
    assert outcome.calibration
    assert outcome.calibration.temperature
    assert 0.05 <= outcome.calibration.temperature <= 20


@given(st.lists(st.integers(0, 4), min_size=1, max_size=300), st.integers(1, 60), st.integers(0, 9))
def test_every_class_gives_its_share(labels: list[int], most: int, seed: int) -> None:
    names = np.array(labels)
    chosen = _of_each_class(names, most, seed)
    assert len(chosen) == len(set(chosen.tolist())) == min(most, len(names))
    assert chosen.tolist() == sorted(chosen.tolist())
    for name in set(labels):
        share = (names == name).sum() * len(chosen) / len(names)
        assert abs((names[chosen] == name).sum() - share) <= 1
