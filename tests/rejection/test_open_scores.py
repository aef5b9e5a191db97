"""A score is one class and one entry: with it models are made and served; without it, or made before it, they serve the others."""

import numpy as np
import pytest
import safetensors.numpy
from pydantic import TypeAdapter
from typing_extensions import override

from noisegate.evaluation.cards import make_card
from noisegate.evaluation.references import make_reference
from noisegate.inference.classifier import Classifier
from noisegate.learning.cells import PreparedCell, prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import predict
from noisegate.rejection import SCORES
from noisegate.rejection.decision import Decider, DecisionOptions
from noisegate.rejection.documents import Decision
from noisegate.rejection.mahalanobis import Mahalanobis
from noisegate.rejection.reference import DamagedReference, Reference
from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer, TrainingAnswers
from noisegate.rejection.vim import VirtualLogit
from tests.inference.test_classifier import onnx_model, random_images
from tests.learning.factories import CLASSES, cell_data, experiment_spec, run_all
from tests.rejection.manifests import SCORE_NAMES, manifest

Pair = tuple[PreparedCell, ExecutionOutcome]

NAME = "centroid"


class NearestCentroid(Scorer):
    """The squared distance to the nearest of the classes' mean features."""

    name = NAME
    higher_is_known = False
    description = "squared distance to the nearest class mean"
    arrays = ("means", "seen")

    @override
    def fit(self, training: TrainingAnswers) -> Fitted:
        classes = range(training.logits.shape[1])
        return {
            "means": np.stack([training.features[training.labels == name].mean(axis=0) for name in classes]),
            "seen": np.array(len(training.labels)),
        }

    @override
    def value(self, known: KnownLogits, features: np.ndarray, fitted: Fitted) -> Rows:
        differences = features[:, np.newaxis, :].astype(np.float64) - fitted["means"]
        nearest: Rows = (differences**2).sum(axis=2).min(axis=1)
        return nearest


class Margin(Scorer):
    """The largest logit less the second largest: a score that remembers nothing."""

    name = "margin"
    higher_is_known = True
    description = "the largest known logit less the second"

    @override
    def value(self, known: KnownLogits, features: np.ndarray, fitted: Fitted) -> Rows:
        second: Rows = np.sort(known.rows, axis=1)[:, -2]
        return known.largest - second


@pytest.fixture(scope="module")
def trained() -> Pair:
    cell = prepare_cell(experiment_spec(holdout=0.25), cell_data(), 0)
    (outcome,) = run_all(cell, [1])
    assert isinstance(outcome, ExecutionOutcome)
    return cell, outcome


def reference_of(trained: Pair) -> Reference:
    made = make_reference(*trained)
    assert made
    return made


def decided(trained: Pair, reference: Reference | None) -> list[Decision]:
    _, outcome = trained
    logits, features = outcome.test_answers.logits, outcome.test_answers.features
    model = manifest(list(CLASSES)).model_copy(update={"calibration": outcome.calibration})
    return Decider(model, reference).decide(logits, features, [DecisionOptions()] * len(logits))


def card_scores(trained: Pair, reference: Reference) -> list[str]:
    """The scores that its card has of every family."""
    card = make_card(*trained, reference, images_per_family=5)
    assert card.untrained_noise
    names = list(card.untrained_noise.scores)
    assert all(list(family.scores) == names for family in card.families)
    return names


def without_score(decision: Decision) -> Decision:
    scores = {name: score for name, score in decision.scores.items() if name != NAME}
    return decision.model_copy(update={"scores": scores})


def test_a_new_score_is_fitted_stored_and_answered(trained: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, outcome = trained
    monkeypatch.setitem(SCORES, NAME, NearestCentroid())
    stored = reference_of(trained).to_bytes()
    loaded = Reference.from_bytes(stored)
    assert loaded.to_bytes() == stored
    assert list(loaded.scorers) == [*SCORE_NAMES, NAME]
    means = loaded.fitted[NAME]["means"]
    known, labels = cell.inputs[: cell.known_images], cell.labels[: cell.known_images]
    _, features = predict(outcome.trained.module, outcome.trained.preprocessing, known)
    for name, mean in enumerate(means):
        np.testing.assert_allclose(mean, features[labels == name].mean(axis=0), rtol=1e-4, atol=1e-5)
    assert int(loaded.fitted[NAME]["seen"]) == cell.known_images
    found = [decision.scores[NAME] for decision in decided(trained, loaded)]
    expected = [min(((row - mean) ** 2).sum() for mean in means) for row in outcome.test_answers.features]
    assert [one["value"] for one in found] == pytest.approx(expected, rel=1e-4)
    (threshold,) = {one["threshold"] for one in found}
    assert threshold is not None
    assert [one["rejects"] for one in found] == [one["value"] > threshold for one in found]
    assert outcome.held
    held = outcome.held.answers
    distances = [min(((row - mean) ** 2).sum() for mean in means) for row in held.features]
    assert 0.9 <= np.mean(np.array(distances) <= threshold * (1 + 1e-5)) < 1
    assert {one["higher_means"] for one in found} == {"unknown"}
    assert card_scores(trained, loaded) == [*SCORE_NAMES, NAME]


def test_a_model_stored_with_a_score_that_is_no_longer_known_serves_the_others(
    trained: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setitem(SCORES, NAME, NearestCentroid())
        stored = reference_of(trained).to_bytes()
        expected = [without_score(one) for one in decided(trained, Reference.from_bytes(stored))]
    loaded = Reference.from_bytes(stored)
    assert loaded.to_bytes() == stored
    assert decided(trained, loaded) == expected == decided(trained, reference_of(trained))
    assert card_scores(trained, loaded) == list(SCORE_NAMES)


@pytest.mark.parametrize("score", [NearestCentroid(), Margin()])
def test_a_model_stored_before_a_score_serves_without_it(
    score: Scorer, trained: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = reference_of(trained).to_bytes()
    before = decided(trained, Reference.from_bytes(stored))
    monkeypatch.setitem(SCORES, score.name, score)
    loaded = Reference.from_bytes(stored)
    assert loaded.to_bytes() == stored
    assert decided(trained, loaded) == before
    assert card_scores(trained, loaded) == list(SCORE_NAMES)


def test_without_a_reference_only_scores_of_the_logits_are_answered(
    trained: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORES, NAME, NearestCentroid())
    monkeypatch.setitem(SCORES, "margin", Margin())
    first, *_ = decided(trained, None)
    assert list(first.scores) == ["msp", "max_logit", "energy", "entropy", "margin"]
    assert first.scores["margin"]["threshold"] is None


def test_a_score_that_is_not_finite_is_left_out_of_the_card(trained: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    class Infinite(Margin):
        @override
        def value(self, known: KnownLogits, features: np.ndarray, fitted: Fitted) -> Rows:
            return np.where(known.largest > np.median(known.largest), np.inf, super().value(known, features, fitted))

    monkeypatch.setitem(SCORES, "margin", Infinite())
    assert card_scores(trained, reference_of(trained)) == list(SCORE_NAMES)


def test_files_keep_the_names_that_they_had(trained: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older service reads what it knows: the same keys, and new scores' arrays beside them under keys of their own."""
    tensors = safetensors.numpy.load(reference_of(trained).to_bytes())
    old = {f"quantiles.{name}" for name in SCORE_NAMES}
    old |= {"nonconformity", "class_counts", "reject_scores", "features", "neighbours"}
    old |= {"held_noise", "held_correct", "held.reject_score", *(f"held.{name}" for name in SCORE_NAMES)}
    old |= {f"fitted.{score.name}.{array}" for score in (Mahalanobis, VirtualLogit) for array in score.arrays}
    assert tensors.keys() == old
    assert (tensors["neighbours"].tolist(), tensors["neighbours"].dtype) == ([5], np.int64)
    assert tensors["features"].dtype == np.float32
    monkeypatch.setitem(SCORES, NAME, NearestCentroid())
    more = safetensors.numpy.load(reference_of(trained).to_bytes())
    assert more.keys() == old | {"quantiles.centroid", "held.centroid", "fitted.centroid.means", "fitted.centroid.seen"}
    assert all(np.array_equal(more[key], tensors[key]) for key in old)


def test_a_score_that_has_lost_an_array_is_not_served_and_one_without_quantiles_is_damage(
    trained: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCORES, NAME, NearestCentroid())
    tensors = safetensors.numpy.load(reference_of(trained).to_bytes())
    less = {key: array for key, array in tensors.items() if key != "fitted.centroid.means"}
    assert list(Reference.from_bytes(safetensors.numpy.save(less)).scorers) == list(SCORE_NAMES)
    with pytest.raises(DamagedReference, match="quantiles of centroid"):
        Reference.from_bytes(
            safetensors.numpy.save({key: array for key, array in tensors.items() if key != "quantiles.centroid"})
        )


def test_documents_name_the_scores_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def described() -> str:
        return str(TypeAdapter(Decision).json_schema()["properties"]["scores"]["description"])

    assert all(f"`{name}`" in described() for name in SCORE_NAMES)
    assert "centroid" not in described()
    monkeypatch.setitem(SCORES, NAME, NearestCentroid())
    assert "`centroid`: squared distance to the nearest class mean (higher = more unknown)" in described()


def test_a_loaded_model_answers_with_a_new_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCORES, "margin", Margin())
    (decision,) = Classifier(onnx_model(), manifest()).classify(random_images(1))
    assert list(decision.scores) == ["msp", "max_logit", "energy", "entropy", "margin"]
