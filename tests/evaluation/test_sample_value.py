"""Sample value: every measure of ten images whose trajectories are written down here, cleanlab for labels, and the ranking."""

import random

import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from noisegate.evaluation.sample_value.label_issues import label_issues
from noisegate.evaluation.sample_value.neighbours import find_neighbours, probability_by_agreement
from noisegate.evaluation.sample_value.over_executions import aggregate
from noisegate.evaluation.sample_value.records import ExecutionRecord
from noisegate.evaluation.sample_value.trajectories import trajectories
from noisegate.evaluation.sample_value.value import value_of

NAN = np.nan
# Ten images over four epochs: the label's probability, and the margin.
PROBABILITY = [
    [1.0, 1.0, 1.0, 1.0],  # easy
    [0.0, 0.0, 0.0, 0.0],  # never right
    [0.0, 1.0, 0.0, 1.0],  # forgotten once
    [1.0, 0.0, 1.0, 0.0],  # forgotten twice
    [0.5, NAN, 0.5, NAN],  # not shown in two epochs
    [1.0, NAN, 0.0, 1.0],  # forgotten while it was not shown
    [NAN, NAN, NAN, NAN],  # never shown
    [0.25, 0.5, 0.75, 1.0],
    [0.75, 0.75, 0.25, 0.25],
    [0.5, 0.5, 0.5, 0.5],
]
MARGIN = [
    [4.0, 4.0, 4.0, 4.0],
    [-4.0, -2.0, -4.0, -2.0],
    [-1.0, 1.0, -1.0, 1.0],
    [1.0, -1.0, 1.0, -1.0],
    [2.0, NAN, 2.0, NAN],
    [2.0, NAN, -2.0, 3.0],
    [NAN, NAN, NAN, NAN],
    [-1.0, 1.0, 2.0, 6.0],
    [3.0, 3.0, -1.0, -1.0],
    [0.0, 0.0, 0.0, 0.0],  # a tie is not right
]
EXPECTED: dict[str, list[float]] = {
    "mean": [1, 0, 0.5, 0.5, 0.5, 2 / 3, NAN, 0.625, 0.5, 0.5],
    "spread": [0, 0, 0.5, 0.5, 0, 0.4714045, NAN, 0.2795085, 0.25, 0],
    "correct": [1, 0, 0.5, 0.5, 1, 2 / 3, NAN, 0.75, 0.5, 0],
    "forgotten": [0, 0, 1, 2, 0, 1, 0, 0, 1, 0],
    "learnt": [True, False, True, True, True, True, False, True, True, False],
    "aum": [4, -3, 0, 0, 2, 1, NAN, 2, 1, 0],
}
ERRORS = [0.1, 1.4, 0.5, 0.5, 0.7, 0.2, NAN, 0.3, 0.6, 0.7]


def record(
    margin: list[list[float]] = MARGIN, noise: list[float] | None = None, rows: list[int] | None = None
) -> ExecutionRecord:
    """Of two classes; noise images have the same margin in every epoch."""
    extra = np.repeat(np.array(noise or []).reshape(-1, 1), 4, axis=1)
    count, outputs = len(margin) + len(extra), 2 + bool(noise)
    known = np.arange(len(margin)) if rows is None else np.array(rows)
    shares = np.tile([0.25, 0.75], (len(margin), 1)) if outputs == 2 else np.tile([0.1, 0.3, 0.6], (len(margin), 1))
    return ExecutionRecord(
        probability=np.concatenate([np.array(PROBABILITY)[: len(margin)], np.abs(extra) / 10]).T.astype(np.float16),
        margin=np.concatenate([np.array(margin), extra]).T.astype(np.float16),
        errors=np.array(ERRORS[: len(margin)] + [0.0] * (count - len(margin)), np.float16),
        rows=known,
        mean_probabilities=shares.astype(np.float16),
        held_rows=np.array([10]),
        held_probabilities=np.array([[0.8, 0.2, 0.0][:outputs]], np.float16),
        test_called=np.array([0, 1]),
        classes=2,
    )


def test_every_measure_of_ten_written_trajectories() -> None:
    found = trajectories(record())
    for name, expected in EXPECTED.items():
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(found.el2n, ERRORS, atol=1e-3)
    assert found.noise_margin is None


def test_a_record_is_what_its_bytes_say() -> None:
    whole = record(noise=[-1.0, 1.0])
    again = ExecutionRecord.from_bytes(whole.to_bytes())
    assert again.to_bytes() == whole.to_bytes()
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_noise_images_give_the_margin_that_one_in_hundred_exceeds() -> None:
    noise = [float(number) for number in range(-50, 51)]  # 101 of them: the 99th of hundred steps
    found = trajectories(record(noise=noise))
    assert found.noise_margin == pytest.approx(49)
    together = aggregate([record(noise=noise)], 11, 2)
    np.testing.assert_allclose(together.above_noise[:10], np.array(EXPECTED["aum"]) - 49, atol=1e-3)
    np.testing.assert_allclose(together.shown[0], [0.25, 0.75], atol=1e-3, err_msg="of the known classes alone")


def test_an_image_that_was_drawn_twice_counts_once() -> None:
    found = trajectories(record(margin=MARGIN[:3], rows=[7, 2, 7]))
    assert found.rows.tolist() == [2, 7]
    np.testing.assert_allclose(found.aum, [-3, 4])


def test_over_executions_means_spreads_and_what_was_never_learnt() -> None:
    raised = [[value + 1 for value in image] for image in MARGIN]
    found = aggregate([record(), record(raised)], 11, 2)
    assert found.executions.tolist() == [2] * 10 + [0]
    np.testing.assert_allclose(found.aum[:4], [4.5, -2.5, 0.5, 0.5], atol=1e-3)
    np.testing.assert_allclose(found.spread_executions[[0, 2]], [0, 0], atol=1e-6)
    assert found.learnt[[1, 9]].tolist() == [False, True], "a tie, raised, is right"
    assert np.isnan(found.mean[[6, 10]]).all()
    np.testing.assert_allclose(found.held[10], [0.8, 0.2], atol=1e-3)
    assert np.isnan(found.held[:10]).all()


def test_spread_over_executions_is_the_sample_deviation() -> None:
    one, other = record(), record()
    halved = ExecutionRecord(**{**vars(other), "probability": (other.probability / 2).astype(np.float16)})
    found = aggregate([one, halved], 11, 2)
    expected = np.std(np.array([EXPECTED["mean"], np.array(EXPECTED["mean"]) / 2]), axis=0, ddof=1)
    np.testing.assert_allclose(found.spread_executions[:10], expected, atol=1e-3)


def test_a_shuffle_of_executions_changes_nothing() -> None:
    generator = np.random.default_rng(0)
    records = [record((generator.normal(0, 3, (10, 4))).tolist(), noise=[-1.0, 0.5]) for _ in range(7)]
    first = aggregate(records, 11, 2)
    random.Random(1).shuffle(records)
    second = aggregate(records, 11, 2)
    for name, value in vars(first).items():
        np.testing.assert_allclose(getattr(second, name), value, rtol=1e-12, err_msg=name)


def _probabilities() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 4, 200)
    logits = generator.normal(0, 1, (200, 4))
    logits[np.arange(200), labels] += 3
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = labels.copy()
    given[:10] = (given[:10] + 1) % 4
    return given, shares


def test_label_issues_are_those_of_cleanlab() -> None:
    given, shares = _probabilities()
    nothing = np.full_like(shares, NAN)
    for basis, held, shown in (("out_of_sample", shares, nothing), ("in_sample", nothing, shares)):
        found = label_issues(given, held, shown)
        assert found.basis == basis
        np.testing.assert_array_equal(found.issue, find_label_issues(given, shares))
        np.testing.assert_allclose(found.quality, get_label_quality_scores(given, shares))
        np.testing.assert_array_equal(found.suggested, shares.argmax(axis=1))
        assert found.issue[:10].sum() >= 8


def test_a_holdout_of_some_is_no_basis_for_all() -> None:
    given, shares = _probabilities()
    held, shown = shares.copy(), shares.copy()
    held[20:], shown[:20] = NAN, NAN
    found = label_issues(given, held, shown)
    assert found.basis == "in_sample"
    assert np.isnan(found.quality[:20]).all()
    assert not found.issue[:20].any()
    np.testing.assert_array_equal(found.suggested[:20], given[:20])
    assert label_issues(given, np.full_like(shares, NAN), np.full_like(shares, NAN)).basis is None


def test_the_value_is_of_the_mean_log_odds() -> None:
    learnt = np.array([0.5, 0.9, 0.1, NAN, 0.0])
    assert value_of(learnt)[:3] == pytest.approx([0.5, 0.9, 0.1])
    # Odds of 1 and 1/9 and 9: their geometric means are 1/3, 9, 1; where a witness says nothing, the others count.
    value = value_of(learnt, [np.array([0.1, 0.9, 0.9, 0.9, 1.0])])
    np.testing.assert_allclose(value, [0.25, 0.9, 0.5, NAN, 0.5])
    value = value_of(learnt, [np.array([0.1, NAN, 0.9, 0.9, NAN])] * 2)
    np.testing.assert_allclose(value[:4], [1 / (1 + 9 ** (2 / 3)), 0.9, 1 / (1 + 9 ** (-1 / 3)), NAN])


def test_neighbours_are_a_witness_by_laplaces_rule() -> None:
    assert probability_by_agreement(np.repeat([0.0, 0.5, 1.0], 10), 5)[[0, 10, 20]] == pytest.approx(
        [1 / 25, 11 / 25, 21 / 25]
    )
    assert probability_by_agreement(np.array([1.0, 0.0, 0.0]), 2) == pytest.approx([3 / 4, 1 / 4, 1 / 4])


def test_outliers_lie_far_from_their_neighbours() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(0, 0.1, (300, 80)) + np.repeat(np.eye(80)[:3], 100, axis=0)
    features[7] = -np.eye(80)[40] * 2
    found = find_neighbours(features, np.arange(300) // 100)
    assert found.distance.argmax() == 7
    assert found.outlier[7]
    assert found.outlier.sum() < 10
    assert find_neighbours(features[:1], np.zeros(1, np.int64)).outlier.tolist() == [False]


def test_neighbours_speak_against_a_wrong_label() -> None:
    generator = np.random.default_rng(1)
    labels = np.arange(90) // 30
    features = np.eye(40)[labels] + generator.normal(0, 0.05, (90, 40))
    given = labels.copy()
    given[[3, 40]] = 2
    agreement = find_neighbours(features, given).agreement
    assert sorted(np.argsort(agreement)[:2].tolist()) == [3, 40]
    assert agreement[[3, 40]].max() < 0.05
    # By hand: of image 0 the twenty of highest cosine, weighed by it.
    centred = features - features.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = np.delete(unit @ unit[0], 0)
    nearest = np.argsort(-cosines)[:20]
    own = np.delete(given, 0)[nearest] == given[0]
    assert agreement[0] == pytest.approx((cosines[nearest] * own).sum() / cosines[nearest].sum(), rel=1e-5)
