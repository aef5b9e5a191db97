import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import sem, ttest_ind

from service.results.statistics import choose_baseline, compare, summarise

shares = st.lists(st.integers(0, 1000).map(lambda hits: hits / 1000), min_size=2, max_size=12)


@given(shares)
def test_summary_agrees_with_numpy_and_scipy(values: list[float]) -> None:
    summary = summarise(values)
    assert summary is not None
    assert summary.std is not None
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.std == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert summary.standard_error == pytest.approx(sem(values), abs=1e-12)
    assert summary.n == len(values)


def test_summary_of_one_value_has_no_spread() -> None:
    summary = summarise([0.5])
    assert summary is not None
    assert (summary.mean, summary.std, summary.standard_error, summary.n) == (0.5, None, None, 1)
    assert summarise([]) is None


@given(shares, shares)
def test_comparison_agrees_with_scipys_welch_test(ours: list[float], theirs: list[float]) -> None:
    found = compare(summarise(ours), summarise(theirs))
    assert found is not None
    if len(set(ours)) == 1 or len(set(theirs)) == 1:
        return  # scipy warns there; the constant samples have tests of their own below
    oracle = ttest_ind(ours, theirs, equal_var=False)
    interval = oracle.confidence_interval(0.95)
    assert found.accuracy == pytest.approx(np.mean(ours) - np.mean(theirs), abs=1e-12)
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)


def test_one_constant_sample_is_tested_against_zero_variance() -> None:
    # By hand: s² = 0.01, standard error √(0.01 / 3), 2 degrees of freedom, t(0.975, 2) = 4.302653.
    found = compare(summarise([0.5, 0.6, 0.7]), summarise([0.9, 0.9, 0.9]))
    assert found is not None
    margin = 4.302653 * math.sqrt(0.01 / 3)
    assert found.low == pytest.approx(-0.3 - margin, abs=1e-6)
    assert found.high == pytest.approx(-0.3 + margin, abs=1e-6)
    assert found.p_value == pytest.approx(0.035099, abs=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        ([0.5], [0.4], "cannot be tested at n = 1: each cell needs two executions or more"),
        ([0.5], [0.4, 0.5, 0.6], "cannot be tested at n = 1 against 3"),
        ([0.5, 0.5], [0.4, 0.4], "within each cell every execution has the same accuracy"),
    ],
)
def test_what_cannot_be_tested_is_said(ours: list[float], theirs: list[float], reason: str) -> None:
    found = compare(summarise(ours), summarise(theirs))
    assert found is not None
    assert (found.low, found.high, found.p_value) == (None, None, None)
    assert reason in found.sentence


def test_nothing_is_compared_without_values() -> None:
    assert compare(summarise([]), summarise([0.5])) is None
    assert compare(summarise([0.5]), summarise([])) is None


def test_sentences() -> None:
    higher = compare(summarise([0.80, 0.81, 0.82]), summarise([0.70, 0.71, 0.72]))
    lower = compare(summarise([0.70, 0.71, 0.72]), summarise([0.80, 0.81, 0.82]))
    neither = compare(summarise([0.70, 0.75, 0.80]), summarise([0.71, 0.74, 0.79]))
    assert higher is not None
    assert lower is not None
    assert neither is not None
    # By hand: standard error √(2·0.0001/3), 4 degrees of freedom, t(0.975, 4) = 2.776445: ± 2.27 points.
    interval = "(95 % interval 7.73 to 12.27, p < 0.001)"
    assert higher.sentence == f"accuracy is 10.00 points higher than the baseline {interval}"
    assert lower.sentence == f"accuracy is 10.00 points lower than the baseline {interval}"
    assert neither.sentence.startswith("no difference from the baseline can be seen at n = 3 (95 % interval -")


@pytest.mark.parametrize(
    ("has_noise_class", "baseline"),
    [([True], None), ([False], None), ([True, False, False], 1), ([True, True], 0), ([False, False], 0)],
)
def test_baseline(has_noise_class: list[bool], baseline: int | None) -> None:
    assert choose_baseline(has_noise_class) == baseline
