import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from noisegate.evaluation.bootstrap import bootstrap
from noisegate.evaluation.open_set_metrics import MEASURES, OpenSetMetrics, open_set_metrics
from noisegate.evaluation.selective import operating_point, selective_metrics

# Few values for many images, so that most are tied; extremes that scores saturate at.
VALUES = st.one_of(st.integers(-2, 2).map(float), st.sampled_from([-np.inf, -0.0, 1e-300, 1e300, np.inf]))
KNOWN = st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=25)
UNKNOWN = st.lists(VALUES, min_size=1, max_size=25)
FEW = st.lists(st.tuples(st.sampled_from([0.0, 1.0, np.inf]), st.booleans()), min_size=1, max_size=6)


def split(known: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in known]), np.array([correct for _, correct in known])


def finite(scores: np.ndarray) -> np.ndarray:
    """In the same order, for scikit-learn, which takes no infinities."""
    return np.unique(scores, return_inverse=True)[1].astype(np.float64)


@settings(deadline=None)
@given(known=KNOWN, unknown=UNKNOWN)
def test_areas_are_scikit_learns(known: list[tuple[float, bool]], unknown: list[float]) -> None:
    scores, correct = split(known)
    found = open_set_metrics(scores, np.array(unknown), correct)
    truth = np.repeat([0, 1], [len(known), len(unknown)])
    ranks = finite(np.concatenate([scores, unknown]))
    assert found.auroc == pytest.approx(roc_auc_score(truth, ranks), abs=1e-12)
    assert found.aupr_unknown == pytest.approx(average_precision_score(truth, ranks), abs=1e-12)
    assert found.aupr_known == pytest.approx(average_precision_score(1 - truth, -ranks), abs=1e-12)
    false, true, _ = roc_curve(truth, ranks, drop_intermediate=False)
    assert found.known_rejected_at_95_unknown_rejected == pytest.approx(false[np.argmax(true >= 0.95)], abs=1e-12)
    false, true, _ = roc_curve(1 - truth, -ranks, drop_intermediate=False)
    assert found.unknown_accepted_at_95_known_accepted == pytest.approx(false[np.argmax(true >= 0.95)], abs=1e-12)
    assert found.accuracy == correct.mean()


@settings(deadline=None)
@given(known=KNOWN, unknown=UNKNOWN)
def test_rates_are_those_of_a_loop_over_thresholds(known: list[tuple[float, bool]], unknown: list[float]) -> None:
    scores, correct = split(known)
    others = np.array(unknown)
    found = open_set_metrics(scores, others, correct)
    # Rejecting everything comes last.
    rejected, accepted, right = [1.0], [0.0], [0.0]
    for threshold in sorted({*scores.tolist(), *unknown}):
        rejected.append(float((scores > threshold).mean()))
        accepted.append(float((others <= threshold).mean()))
        right.append(float(((scores <= threshold) & correct).mean()))
    assert found.detection_error == pytest.approx(
        min((one + other) / 2 for one, other in zip(rejected, accepted, strict=True)), abs=1e-12
    )
    assert found.oscr == pytest.approx(np.trapezoid(right, accepted), abs=1e-12)
    assert found.known_rejected_at_95_unknown_rejected == pytest.approx(
        min(one for one, other in zip(rejected, accepted, strict=True) if other <= 0.05 + 1e-12), abs=1e-12
    )
    assert found.unknown_accepted_at_95_known_accepted == pytest.approx(
        min(other for one, other in zip(rejected, accepted, strict=True) if one <= 0.05 + 1e-12), abs=1e-12
    )


@settings(deadline=None)
@given(known=FEW)
def test_selective_areas_are_the_mean_over_all_orders_of_ties(known: list[tuple[float, bool]]) -> None:
    scores, correct = split(known)
    found = selective_metrics(scores, ~correct)
    risks, joint, least = [], [], []
    images = len(scores)
    for order in itertools.permutations(range(images)):
        errors = np.cumsum(~correct[list(order)])
        least.append(float((errors / np.arange(1, images + 1)).mean()))
        if all(scores[one] <= scores[other] for one, other in itertools.pairwise(order)):
            risks.append(least[-1])
            joint.append(float(np.trapezoid(np.append(0, errors), dx=1)) / images**2)
    assert found.aurc == pytest.approx(np.mean(risks), abs=1e-12)
    assert found.augrc == pytest.approx(np.mean(joint), abs=1e-12)
    assert found.excess_aurc == pytest.approx(np.mean(risks) - min(least), abs=1e-12)


@settings(deadline=None)
@given(known=KNOWN)
def test_augrc_is_the_formula_of_its_paper(known: list[tuple[float, bool]]) -> None:
    scores, correct = split(known)
    accuracy = correct.mean()
    expected = (1 - accuracy) ** 2 / 2
    if 0 < accuracy < 1:
        failures = roc_auc_score(~correct, finite(scores))
        expected += (1 - failures) * accuracy * (1 - accuracy)
    assert selective_metrics(scores, ~correct).augrc == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(known=KNOWN, unknown=UNKNOWN)
def test_the_collection_holds_the_selective_areas_of_known_images(
    known: list[tuple[float, bool]], unknown: list[float]
) -> None:
    scores, correct = split(known)
    found = open_set_metrics(scores, np.array(unknown), correct)
    assert (found.aurc, found.excess_aurc, found.augrc) == pytest.approx(selective_metrics(scores, ~correct), abs=1e-12)
    assert list(MEASURES) == list(OpenSetMetrics.__dataclass_fields__)


def test_by_hand() -> None:
    known, correct = np.array([0.1, 0.2, 0.2, 0.9]), np.array([True, True, False, True])
    found = open_set_metrics(known, np.array([0.2, 0.95]), correct)
    assert found.accuracy == 0.75
    assert found.auroc == (1 + 0.5 + 0.5 + 0 + 4) / 8
    # Unknown images by falling score: 1 of 1, then 2 of all 5 that score 0.2 or more.
    assert found.aupr_unknown == (1 + 2 / 5) / 2
    # Known images by rising score: 1 of 1, 3 of 4 twice, 4 of 5.
    assert found.aupr_known == (1 + 2 * 3 / 4 + 4 / 5) / 4
    # To reject 95 % of two is to reject both: from 0.2 up. To accept 95 % of four is to accept up to 0.9.
    assert (found.known_rejected_at_95_unknown_rejected, found.unknown_accepted_at_95_known_accepted) == (0.75, 0.5)
    # Above 0.9: no known one rejected, one unknown one accepted; above 0.1: three rejected, none accepted.
    assert found.detection_error == 0.25
    # From (0, ¼) to (½, ½), and level at ¾ from ½ to 1.
    assert found.oscr == 0.5 * (0.25 + 0.5) / 2 + 0.5 * 0.75


@pytest.mark.parametrize("images", [20, 40, 700])
def test_exactly_95_percent_is_enough(images: int) -> None:
    rising, correct = np.arange(images, dtype=float), np.ones(images, dtype=np.bool_)
    # Of equally spaced ones 95 % are rejected from the one on that has a twentieth below it, and accepted up to its mirror.
    found = open_set_metrics(rising, rising, correct)
    assert found.known_rejected_at_95_unknown_rejected == 0.95
    assert found.unknown_accepted_at_95_known_accepted == 0.95


def test_constant_scores_are_worth_nothing() -> None:
    found = open_set_metrics(np.zeros(4), np.zeros(6), np.array([True, True, True, False]))
    assert (found.auroc, found.oscr, found.detection_error) == (0.5, 0.375, 0.5)
    assert (found.aupr_unknown, found.aupr_known) == (0.6, 0.4)
    assert (found.known_rejected_at_95_unknown_rejected, found.unknown_accepted_at_95_known_accepted) == (1, 1)
    assert (found.aurc, found.augrc) == (0.25, 0.125)


def test_a_perfect_score_is_worth_everything() -> None:
    correct = np.array([True, True, True, False])
    found = open_set_metrics(np.array([-np.inf, 0.1, 0.2, 0.3]), np.full(3, np.inf), correct)
    assert (found.auroc, found.aupr_unknown, found.aupr_known, found.oscr) == (1, 1, 1, found.accuracy)
    assert (found.detection_error, found.excess_aurc) == (0, 0)
    assert (found.known_rejected_at_95_unknown_rejected, found.unknown_accepted_at_95_known_accepted) == (0, 0)


def test_what_is_no_number_or_not_there_is_refused() -> None:
    one, right = np.array([0.5]), np.array([True])
    with pytest.raises(ValueError, match="1 of 2 scores are not numbers"):
        open_set_metrics(one, np.array([np.nan]), right)
    with pytest.raises(ValueError, match="no unknown image"):
        open_set_metrics(one, np.empty(0), right)
    with pytest.raises(ValueError, match="no known image"):
        open_set_metrics(np.empty(0), one, np.empty(0, dtype=np.bool_))
    with pytest.raises(ValueError, match="1 of 1 scores are not numbers"):
        selective_metrics(np.array([np.nan]), right)


def test_a_threshold_rejects_what_lies_above_it() -> None:
    scores, wrong = np.array([0.1, 0.5, 0.5, np.inf]), np.array([False, True, False, True])
    assert operating_point(scores, wrong, 0.5) == (0.75, 1 / 3)
    assert operating_point(scores, wrong, 0.0) == (0, None)
    assert operating_point(scores, wrong, np.inf) == (1, 0.5)


def test_resamples_are_the_metrics_of_the_images_drawn() -> None:
    generator = np.random.default_rng(3)
    known, unknown = generator.integers(0, 9, 60).astype(float), generator.integers(3, 12, 40).astype(float)
    correct = generator.random(60) < 0.7
    found = bootstrap(known, unknown, correct, np.random.default_rng(7), resamples=12)
    again = np.random.default_rng(7)
    drawn = []
    for _ in range(12):
        of_known, of_unknown = again.integers(60, size=60), again.integers(40, size=40)
        drawn.append(open_set_metrics(known[of_known], unknown[of_unknown], correct[of_known]))
    for name, one in found.items():
        values = [getattr(metrics, name) for metrics in drawn]
        assert one.standard_error == pytest.approx(np.std(values, ddof=1), abs=1e-12)
        assert (one.low, one.high) == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-12)


def test_resamples_do_not_depend_on_how_many_are_counted_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    known, unknown, correct = generator.normal(size=50), generator.normal(1, size=30), generator.random(50) < 0.8
    whole = bootstrap(known, unknown, correct, np.random.default_rng(1), resamples=20)
    monkeypatch.setattr("noisegate.evaluation.bootstrap._SCORES_AT_A_TIME", 3 * 80)
    parts = bootstrap(known, unknown, correct, np.random.default_rng(1), resamples=20)
    for name, one in whole.items():
        assert parts[name] == pytest.approx(one, abs=1e-12)


def test_the_bootstraps_standard_error_is_that_of_new_samples() -> None:
    generator = np.random.default_rng(5)

    def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return generator.normal(size=400), generator.normal(1, size=300), generator.random(400) < 0.8

    fresh = [open_set_metrics(*sample()) for _ in range(300)]
    found = bootstrap(*sample(), generator, resamples=300)
    # A standard deviation of 300 is known to 4 %, and so is the other one. AURC hangs on the few images that come first,
    # and thresholds at 95 % on one: there a single sample says less.
    for name in ("accuracy", "auroc", "aupr_unknown", "aupr_known", "oscr", "augrc"):
        expected = np.std([getattr(one, name) for one in fresh], ddof=1)
        assert found[name].standard_error == pytest.approx(expected, rel=0.25), name
