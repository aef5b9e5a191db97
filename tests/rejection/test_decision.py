import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import entr, logsumexp, softmax

from noisegate.errors import InvalidInput
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, Calibration, ModelManifest
from noisegate.rejection.budgets import NOTE_NEVER, NOTE_NOISE_ONLY
from noisegate.rejection.decision import Decider, DecisionOptions
from noisegate.rejection.documents import Decision
from tests.rejection.manifests import manifest, reference

LEVELS = [float(level) for level in range(1001)]
# Rejects above 0.5 at the default share of 5 %.
HALF = [0.0] * 20 + [1.0]
HALF[19] = 0.5


def decide_many(rows: np.ndarray, model: ModelManifest, share: float = DEFAULT_MAX_FALSE_REJECT) -> list[Decision]:
    return Decider(model).decide(rows, np.zeros((len(rows), 2)), [DecisionOptions(share)] * len(rows))


def decide(row: np.ndarray, model: ModelManifest, share: float = DEFAULT_MAX_FALSE_REJECT) -> Decision:
    (decision,) = decide_many(row[np.newaxis], model, share)
    return decision


# logits of cat, dog, noise → label, rejected, reason, at a threshold of 0.5
TABLE = [
    ([4.0, 0.0, 0.0], "cat", False, None),
    ([0.0, 4.0, 0.0], "dog", False, None),
    ([0.0, 0.0, 4.0], "noise", True, "noise"),
    ([0.3, 0.0, 0.2], "cat", True, "low_confidence"),
    ([1.0, 1.0, 0.9], "cat", True, "low_confidence"),
    ([1.0, 0.0, 1.0], "cat", True, "low_confidence"),
    ([1000.0, 0.0, -1000.0], "cat", False, None),
    ([-1000.0, -1000.5, -1000.5], "cat", True, "low_confidence"),
]


@pytest.mark.parametrize(("logits", "label", "rejected", "reason"), TABLE)
def test_table_of_decisions(logits: list[float], label: str, rejected: bool, reason: str | None) -> None:
    decision = decide(np.array(logits), manifest(quantiles=HALF))
    assert (decision.label, decision.rejected, decision.reason) == (label, rejected, reason)
    assert decision.threshold == 0.5
    assert decision.calibrated
    assert decision.note is None
    assert decision.max_false_reject == DEFAULT_MAX_FALSE_REJECT == 0.05


@pytest.mark.parametrize("has_noise_class", [True, False])
def test_numbers_match_scipy(has_noise_class: bool) -> None:
    model = manifest(["a", "b", "c", "d"], has_noise_class=has_noise_class)
    rows = np.random.default_rng(0).normal(0, 5, (50, len(model.outputs)))
    for row, decision in zip(rows, decide_many(rows, model), strict=True):
        p, known = softmax(row), row[:4]
        assert list(decision.probabilities) == ["a", "b", "c", "d"]
        np.testing.assert_allclose(list(decision.probabilities.values()), p[:4], rtol=1e-12)
        assert decision.noise_probability == (pytest.approx(p[4], rel=1e-12) if has_noise_class else None)
        assert decision.reject_score == pytest.approx(1 - p[:4].max(), rel=1e-9)
        assert decision.known_label == "abcd"[int(known.argmax())]
        assert decision.scores["msp"]["value"] == pytest.approx(softmax(known).max(), rel=1e-12)
        assert decision.scores["max_logit"]["value"] == known.max()
        assert decision.scores["energy"]["value"] == pytest.approx(logsumexp(known), rel=1e-12)
        assert decision.scores["entropy"]["value"] == pytest.approx(entr(softmax(known)).sum(), rel=1e-9, abs=1e-12)


def test_rows_are_decided_alone_and_float32_is_widened() -> None:
    model = manifest(quantiles=HALF)
    rows = np.random.default_rng(1).normal(0, 3, (9, 3)).astype(np.float32)
    assert decide_many(rows, model) == [decide(row, model) for row in rows.astype(np.float64)]
    assert decide_many(rows[:0], model) == []


def test_a_score_at_the_threshold_is_accepted() -> None:
    # Two equal logits: the reject score is exactly a half, and rejected means above.
    decision = decide(np.array([2.0, 2.0]), manifest(has_noise_class=False, quantiles=HALF))
    assert decision.reject_score == decision.threshold == 0.5
    assert not decision.rejected


def test_without_a_calibration_noise_alone_rejects() -> None:
    doubtful, noise = decide_many(np.array([[0.1, 0.0, 0.0], [0.0, 0.0, 9.0]]), manifest())
    assert (doubtful.rejected, doubtful.reason) == (False, None)
    assert (noise.rejected, noise.reason, noise.known_label) == (True, "noise", "cat")
    assert doubtful.threshold is None
    assert not doubtful.calibrated
    assert doubtful.note == NOTE_NOISE_ONLY


def test_without_calibration_and_noise_class_nothing_rejects() -> None:
    decision = decide(np.array([0.0, 0.0]), manifest(has_noise_class=False))
    assert not decision.rejected
    assert decision.note == NOTE_NEVER


@pytest.mark.parametrize(
    ("share", "level"),
    [(0.05, 950), (0, 1000), (1, 0), (0.1, 900), (0.3, 700), (0.07, 930), (0.29, 710), (0.57, 430), (1e-5, 1000)],
)
def test_threshold_at_stored_levels(share: float, level: int) -> None:
    assert Calibration(samples=9, quantiles=LEVELS).threshold(share) == level


def test_threshold_at_every_thousandth() -> None:
    calibration = Calibration(samples=9, quantiles=LEVELS)
    assert [calibration.threshold(step / 1000) for step in range(1001)] == LEVELS[::-1]


@given(st.floats(0, 1), st.integers(2, 60))
def test_threshold_never_rejects_more_than_asked(share: float, levels: int) -> None:
    calibration = Calibration(samples=9, quantiles=[float(level) for level in range(levels)])
    level = calibration.threshold(share) / (levels - 1)
    assert 1 - level <= share + 1e-12
    assert 1 - level > share - 1 / (levels - 1) - 1e-12


@pytest.mark.parametrize("share", [-0.001, 1.001, float("nan"), float("inf")])
@pytest.mark.parametrize("model", [manifest(quantiles=HALF), manifest()])
def test_a_share_outside_0_to_1_is_refused(share: float, model: ModelManifest) -> None:
    with pytest.raises(InvalidInput) as caught:
        decide(np.zeros(3), model, share)
    assert caught.value.field == "max_false_reject"
    assert caught.value.remedy


@pytest.mark.parametrize("logits", [np.zeros((1, 2)), np.zeros(3), np.full((1, 3), np.nan), np.full((1, 3), np.inf)])
def test_logits_that_cannot_be_decided_on(logits: np.ndarray) -> None:
    with pytest.raises(ValueError, match="logits"):
        decide_many(logits, manifest())


def test_json_has_null_where_there_is_nothing() -> None:
    document = decide(np.zeros(3), manifest()).model_dump(mode="json")
    assert document["threshold"] is None
    assert document["noise_probability"] == pytest.approx(1 / 3)
    assert set(document["scores"]) == {"msp", "max_logit", "energy", "entropy"}
    assert document["scores"]["msp"] == {
        "value": pytest.approx(1 / 2),
        "higher_means": "known",
        "threshold": None,
        "rejects": None,
    }
    assert (document["temperature_scaled"], document["conformal"]) == (None, None)


def test_temperature_scaling_stands_beside_the_raw_probabilities() -> None:
    row = np.array([3.0, 1.0, -2.0])
    decision = decide(row, manifest(quantiles=HALF, temperature=2.5))
    assert decision.temperature_scaled
    scaled = decision.temperature_scaled
    assert list(decision.probabilities.values()) == pytest.approx(softmax(row)[:2], rel=1e-12)
    assert list(scaled.probabilities.values()) == pytest.approx(softmax(row / 2.5)[:2], rel=1e-12)
    assert scaled.temperature == 2.5
    assert scaled.noise_probability == pytest.approx(softmax(row / 2.5)[2], rel=1e-12)


def test_top_k_names_the_most_probable_in_falling_order() -> None:
    model = manifest(["a", "b", "c", "d"], quantiles=HALF, temperature=2.0)
    row = np.array([[0.0, 3.0, 1.0, 2.0, 9.0]])
    decider = Decider(model, reference(4))
    (some,) = decider.decide(row, np.ones((1, 2)), [DecisionOptions(top_k=2)])
    (all_,) = decider.decide(row, np.ones((1, 2)), [DecisionOptions()])
    assert some.temperature_scaled
    assert some.conformal
    for named in (some.probabilities, some.temperature_scaled.probabilities, some.conformal.classes):
        assert list(named) == ["b", "d"]
    assert some.probabilities.items() <= all_.probabilities.items()
    assert (
        some.model_copy(
            update={name: getattr(all_, name) for name in ("probabilities", "temperature_scaled", "conformal")}
        )
        == all_
    )
    assert list(decider.decide(row, np.ones((1, 2)), [DecisionOptions(top_k=99)])[0].probabilities) == [
        "b",
        "d",
        "c",
        "a",
    ]


def test_each_score_has_a_threshold_of_its_own_for_each_share() -> None:
    """Quantiles 0 … 1 of unknownness: a score of which higher is known is rejected below −quantile."""
    decider = Decider(manifest(quantiles=HALF), reference(2))
    rows = np.array([[2.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    strict, lax = decider.decide(rows, np.ones((2, 2)), [DecisionOptions(0.3), DecisionOptions(1.0)])
    assert {name: round(score["threshold"] or 0.0, 3) for name, score in strict.scores.items()} == {
        "msp": -0.7,
        "max_logit": -0.7,
        "energy": -0.7,
        "entropy": 0.7,
        "knn": 0.7,
        "mahalanobis": 0.7,
        "vim": 0.7,
    }
    assert [score["threshold"] for score in lax.scores.values()] == [0.0] * 7
    # A threshold of 0 on unknownness: what is known by its logits lies above it, an entropy or a distance beyond.
    assert {name: score["rejects"] for name, score in lax.scores.items()} == {
        "msp": False,
        "max_logit": False,
        "energy": False,
        "entropy": True,
        "knn": True,
        "mahalanobis": True,
        "vim": False,
    }
    assert strict.scores["knn"]["value"] == lax.scores["knn"]["value"] == pytest.approx(np.sqrt(2 - np.sqrt(2)))


# --- What the holdout can promise -------------------------------------------------------------------------------------------


def small(samples: int = 12, called_noise: int = 0) -> Decider:
    """Of a small holdout; its scores' thresholds are their quantiles, so they show which one was taken."""
    levels = [level / 1000 for level in range(1001)]
    return Decider(manifest(quantiles=levels, samples=samples, called_noise=called_noise), reference(2))


def decided(decider: Decider, options: DecisionOptions) -> Decision:
    (decision,) = decider.decide(np.array([[2.0, 0.0, 0.0]]), np.ones((1, 2)), [options])
    return decision


def test_by_default_what_a_small_holdout_can_promise_is_in_force_and_told() -> None:
    decision = decided(small(), DecisionOptions())
    assert decision.max_false_reject == 0.077
    assert decision.note
    assert "12 holdout images. So few can promise that at most 0.077 of the known images are rejected" in decision.note
    # The largest of 12: level 917 is the first that eleven of them do not reach.
    assert decision.threshold == 0.917
    assert {round(abs(score["threshold"] or 0), 3) for score in decision.scores.values()} == {0.917}
    assert "5 of which it calls noise" in (decided(small(called_noise=5), DecisionOptions()).note or "")


def test_a_cross_validated_threshold_promises_nothing() -> None:
    decider = small(called_noise=1)
    assert decider.manifest.calibration
    calibration = decider.manifest.calibration.model_copy(update={"source": "cross_validated"})
    by_folds = Decider(decider.manifest.model_copy(update={"calibration": calibration}), reference(2))
    note = decided(by_folds, DecisionOptions()).note or ""
    assert "rests on cross-validation on 12 training images, 1 of which it calls noise. So few allow to expect" in note
    assert "promise" not in note
    with pytest.raises(InvalidInput) as caught:
        decided(by_folds, DecisionOptions(0.01))
    assert "can aim at no less than" in caught.value.detail
    assert (caught.value.remedy or "").endswith("with more training images or less noise.")
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration
    assert "source" not in decider.manifest.calibration.model_dump(), "of a holdout it reads as it did before"


def test_a_holdout_that_is_large_enough_has_nothing_to_say() -> None:
    decision = decided(small(samples=24), DecisionOptions())
    assert (decision.max_false_reject, decision.note) == (0.05, None)
    assert decided(small(), DecisionOptions(0.2)).note is None


@pytest.mark.parametrize(
    ("counts", "words", "remedy"),
    [
        ({}, "no less than 0.077: its threshold rests on 12 holdout images", "a larger holdout."),
        ({"called_noise": 3}, "3 of which it calls noise, and those are rejected at any threshold", "or less noise."),
    ],
)
@pytest.mark.parametrize("asked", [0.0, 0.05, 0.0769])
def test_a_budget_that_the_holdout_cannot_promise_is_refused(
    counts: dict[str, int], words: str, remedy: str, asked: float
) -> None:
    with pytest.raises(InvalidInput) as caught:
        decided(small(**counts), DecisionOptions(asked))
    assert caught.value.field == "max_false_reject"
    assert words in caught.value.detail
    assert remedy in (caught.value.remedy or "")
    smallest = float((caught.value.remedy or "").split()[2])
    assert decided(small(**counts), DecisionOptions(smallest)).max_false_reject == smallest


def test_a_model_from_before_takes_any_budget_and_the_quantile_it_took() -> None:
    before = Decider(manifest(quantiles=[level / 1000 for level in range(1001)], samples=12), reference(2))
    assert decided(before, DecisionOptions(0.0)).threshold == 1.0
    decision = decided(before, DecisionOptions())
    assert (decision.threshold, decision.max_false_reject, decision.note) == (0.95, 0.05, None)
    assert {round(abs(score["threshold"] or 0), 3) for score in decision.scores.values()} == {0.95}
