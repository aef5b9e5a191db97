"""Means with their errors, and Welch's test of a cell against the baseline. Pure functions of numbers.

Welch's test is written out, five lines of it: scipy.stats.ttest_ind warns when one of the samples is constant, which
small test sets often make it, although the test is well defined as long as the other varies.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import scipy

CONFIDENCE_LEVEL = 0.95
_SIGNIFICANT = 1 - CONFIDENCE_LEVEL


@dataclass(frozen=True)
class Summary:
    """The mean over executions; with a single one there is no spread to tell."""

    mean: float
    std: float | None
    standard_error: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """How far a cell's accuracy lies above the baseline's (below, if negative); null where nothing can be tested."""

    accuracy: float
    low: float | None
    high: float | None
    p_value: float | None
    sentence: str


@dataclass(frozen=True)
class Welch:
    """Welch's two-sided t-test, and the interval of the difference at the confidence level."""

    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class PairedDifference:
    """The mean of differences within pairs, with Student's paired t-test; null where it cannot be tested."""

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    pairs: int
    sentence: str


def summarise(values: Sequence[float]) -> Summary | None:
    """Mean, standard deviation (n − 1) and standard error; None without values."""
    if not values:
        return None
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Summary(mean, None, None, 1)
    std = math.sqrt(_variance(values))
    return Summary(mean, std, std / math.sqrt(n), n)


def _variance(values: Sequence[float]) -> float:
    """The sample variance, computed exactly and rounded once: equal values have none, and not that of a rounding error.

    As `statistics.variance` has it, in a tenth of the time: every float is a whole number of 1 / `scale`, a power of two.
    """
    ratios = [value.as_integer_ratio() for value in values]
    scale = max(denominator for _, denominator in ratios)
    whole = [numerator * (scale // denominator) for numerator, denominator in ratios]
    n, total = len(whole), sum(whole)
    return (n * sum(number * number for number in whole) - total * total) / (n * (n - 1) * scale * scale)


def choose_baseline(has_noise_class: Sequence[bool]) -> int | None:
    """The cell that the others are compared with: the first without a noise class if another has one, else the first.

    None if there is nothing to compare.
    """
    if len(has_noise_class) < 2:
        return None
    return has_noise_class.index(False) if len(set(has_noise_class)) == 2 else 0


def compare(ours: Summary | None, theirs: Summary | None, against: str = "the baseline") -> Difference | None:
    """The difference of two mean accuracies (shares), tested; None as long as either has no value.

    Args:
        against: what the sentence calls the other.
    """
    if ours is None or theirs is None:
        return None
    difference = ours.mean - theirs.mean
    if ours.n < 2 or theirs.n < 2 or ours.std == theirs.std == 0:
        return Difference(difference, None, None, None, _untestable(difference, ours, theirs))
    found = _welch(ours, theirs)
    sentence = _sentence(difference, found, ours.n, theirs.n, against)
    return Difference(difference, found.low, found.high, found.p_value, sentence)


def compare_pairs(pairs: Sequence[tuple[float, float]], what: str) -> PairedDifference:
    """The mean difference of the first of each pair (shares) from the second, and Student's test of it against 0.

    Args:
        pairs: one at least.
        what: is compared, as the sentence calls it.
    """
    found = summarise([ours - theirs for ours, theirs in pairs])
    assert found is not None, "there are pairs"
    if found.standard_error is None or found.standard_error == 0:
        why = "two are needed" if found.n < 2 else "all pairs differ by the same"
        sentence = (
            f"the difference of {_points(found.mean)} points of {what} cannot be tested at {found.n} pairs: {why}"
        )
        return PairedDifference(found.mean, None, None, None, found.n, sentence)
    margin = found.standard_error * float(scipy.special.stdtrit(found.n - 1, (1 + CONFIDENCE_LEVEL) / 2))
    p_value = 2 * float(scipy.special.stdtr(found.n - 1, -abs(found.mean) / found.standard_error))
    tested = Welch(found.mean - margin, found.mean + margin, p_value)
    return PairedDifference(
        found.mean, tested.low, tested.high, p_value, found.n, _paired_sentence(found.mean, tested, found.n, what)
    )


def _paired_sentence(difference: float, found: Welch, pairs: int, what: str) -> str:
    p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.2g}"
    interval = f"95 % interval {_points(found.low)} to {_points(found.high)}"
    if found.p_value >= _SIGNIFICANT:
        return f"no difference of {what} from the baseline can be seen in {pairs} pairs ({interval}, {p})"
    word = "higher" if difference > 0 else "lower"
    return f"{what} is {_points(abs(difference))} points {word} than the baseline in {pairs} pairs ({interval}, {p})"


def _welch(ours: Summary, theirs: Summary) -> Welch:
    assert ours.standard_error is not None
    assert theirs.standard_error is not None
    ours_squared, theirs_squared = ours.standard_error**2, theirs.standard_error**2
    error = math.sqrt(ours_squared + theirs_squared)
    freedom = error**4 / (ours_squared**2 / (ours.n - 1) + theirs_squared**2 / (theirs.n - 1))
    difference = ours.mean - theirs.mean
    margin = error * float(scipy.special.stdtrit(freedom, (1 + CONFIDENCE_LEVEL) / 2))
    p_value = 2 * float(scipy.special.stdtr(freedom, -abs(difference) / error))
    return Welch(difference - margin, difference + margin, p_value)


def _sentence(difference: float, found: Welch, n: int, baseline_n: int, against: str) -> str:
    p = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.2g}"
    if found.p_value >= _SIGNIFICANT:
        interval = f"95 % interval {_points(found.low)} to {_points(found.high)}"
        return f"no difference from {against} can be seen at {_sizes(n, baseline_n)} ({interval}, {p})"
    # The interval is told in the direction of the words, so that both of its ends are positive.
    low, high = (found.low, found.high) if difference > 0 else (-found.high, -found.low)
    word = "higher" if difference > 0 else "lower"
    interval = f"95 % interval {_points(low)} to {_points(high)}"
    return f"accuracy is {_points(abs(difference))} points {word} than {against} ({interval}, {p})"


def _untestable(difference: float, ours: Summary, theirs: Summary) -> str:
    seen = f"the difference of {_points(difference)} points cannot be tested"
    if ours.n < 2 or theirs.n < 2:
        return f"{seen} at {_sizes(ours.n, theirs.n)}: each cell needs two executions or more"
    return f"{seen}: within each cell every execution has the same accuracy"


def _sizes(n: int, baseline_n: int) -> str:
    return f"n = {n}" if n == baseline_n else f"n = {n} against {baseline_n}"


def _points(share: float) -> str:
    # Adding 0 turns a rounded −0 into 0.
    return f"{round(100 * share, 2) + 0:.2f}"
