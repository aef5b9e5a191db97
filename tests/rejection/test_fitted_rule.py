"""Decision rules of one and two scores: that the budget covers the whole rule, against counting by hand."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.decision_rule import DecisionRule, RuleScore
from noisegate.errors import InvalidInput
from noisegate.rejection.fitted_rule import fit_rule, fit_rule_to, reasons_of
from noisegate.rejection.scores import Rows

NONE_ARE_NOISE = np.zeros(9, dtype=np.bool_)


def rejected(rule: DecisionRule, bounds: tuple[float, ...], unknownness: Mapping[str, Rows]) -> np.ndarray:
    found: np.ndarray = np.any(
        [unknownness[name] > bound for name, bound in zip(rule.names, bounds, strict=True)], axis=0
    )
    return found


def test_one_score_has_the_threshold_of_split_conformal_prediction() -> None:
    """Of nine images and a budget of 20 %, the eighth smallest: ⌈10 · 0.8⌉."""
    values = {"knn": np.array([0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6])}
    fitted = fit_rule_to(DecisionRule.of("knn"), values, NONE_ARE_NOISE)
    assert fitted.thresholds(0.2) == (0.8,)
    assert fitted.thresholds(0.1) == (0.9,)
    assert fitted.smallest_promise == 0.1


def test_images_called_noise_take_from_the_budget() -> None:
    """Two of nine are rejected anyway: of a budget of 40 % (the sixth smallest) the others have the rest."""
    values = {"knn": np.arange(9.0)}
    is_noise = np.isin(np.arange(9), [0, 8])
    fitted = fit_rule_to(DecisionRule.of("knn"), values, is_noise)
    assert fitted.thresholds(0.4) == (6.0,), "the sixth of 1, 2, 3, 4, 5, 6, 7"
    assert fitted.smallest_promise == pytest.approx(2 / 9 + 1 / 10, abs=1e-4)


def test_two_scores_share_the_budget() -> None:
    """Each would reject another image: by ranks, both are cut where one image in ten may go."""
    first = np.arange(20.0)
    second = np.roll(np.arange(20.0), 10)
    rule = DecisionRule.of("knn", "energy")
    values = {"knn": first, "energy": second}
    fitted = fit_rule_to(rule, values, np.zeros(20, dtype=np.bool_))
    assert rejected(rule, fitted.thresholds(0.1), values).mean() <= 0.1
    assert rejected(rule, fitted.thresholds(0.5), values).mean() == pytest.approx(0.45, abs=0.06)


@st.composite
def scored(draw: st.DrawFn) -> tuple[dict[str, Rows], np.ndarray, float]:
    """Some images by two scores with many ties, some of them called noise, and a budget."""
    count = draw(st.integers(1, 40))
    columns = [draw(st.lists(st.integers(0, 12), min_size=count, max_size=count)) for _ in range(2)]
    is_noise = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    values = {name: np.array(column, dtype=np.float64) for name, column in zip(("knn", "energy"), columns, strict=True)}
    return values, is_noise, draw(st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9, 1.0]))


@given(scored(), st.sampled_from([("knn",), ("energy",), ("knn", "energy"), ("energy", "knn")]))
def test_of_the_held_out_images_no_more_than_the_budget_are_rejected(
    drawn: tuple[dict[str, Rows], np.ndarray, float], names: tuple[str, ...]
) -> None:
    """Noise included, as long as the budget is one that this number of images can promise."""
    values, is_noise, budget = drawn
    rule = DecisionRule.of(*names)
    fitted = fit_rule_to(rule, values, is_noise)
    budget = max(budget, fitted.smallest_promise)
    gone = rejected(rule, fitted.thresholds(budget), values) | is_noise
    assert gone.mean() <= budget + 1e-9


@given(scored())
def test_a_larger_budget_never_rejects_less(drawn: tuple[dict[str, Rows], np.ndarray, float]) -> None:
    values, is_noise, _ = drawn
    fitted = fit_rule_to(DecisionRule.of("knn", "energy"), values, is_noise)
    bounds = np.array([fitted.thresholds(budget) for budget in (0.0, 0.01, 0.1, 0.3, 0.6, 1.0)])
    assert (np.diff(bounds, axis=0) <= 0).all()


def test_new_images_are_rejected_as_seldom_as_promised() -> None:
    """Over 400 draws of 99 held-out and one new image, two correlated scores: 10 %, within three binomial errors."""
    generator, rule = np.random.default_rng(3), DecisionRule.of("knn", "energy")
    misses = 0
    for _ in range(400):
        common = generator.normal(size=(100, 1))
        columns = common + generator.normal(size=(100, 2))
        held = {"knn": columns[:99, 0], "energy": columns[:99, 1]}
        fitted = fit_rule_to(rule, held, np.zeros(99, dtype=np.bool_))
        new = {"knn": columns[99:, 0], "energy": columns[99:, 1]}
        misses += int(rejected(rule, fitted.thresholds(0.1), new)[0])
    assert abs(misses / 400 - 0.1) < 3 * np.sqrt(0.1 * 0.9 / 400)


def test_ranks_order_images_beyond_all_held_out_ones() -> None:
    fitted = fit_rule_to(DecisionRule.of("knn"), {"knn": np.arange(9.0)}, NONE_ARE_NOISE)
    ranks = fitted.ranks_of({"knn": np.array([-5.0, 0.0, 4.5, 8.0, 9.0, 30.0, 1e6])})
    assert (np.diff(ranks) > 0).all()
    assert ranks[3] == 1.0
    assert ranks[-1] < 1 + 1 / 9 + 1e-9


def test_reasons_are_those_that_suit_the_scores_or_those_given() -> None:
    assert reasons_of(DecisionRule.of("reject_score", "knn")) == ["unsure", "unknown"]
    assert reasons_of(DecisionRule.of("msp", "energy")) == ["unsure", "unknown"]
    given_one = DecisionRule(scores=(RuleScore(score="knn", reason="unsure"),))
    assert reasons_of(given_one) == ["unsure"]


@pytest.mark.parametrize(("name", "why"), [("nonsense", "there is no score 'nonsense'"), ("knn", "keeps no scores")])
def test_a_rule_that_a_model_cannot_follow_is_refused(name: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        fit_rule(DecisionRule.of(name), None)
    assert why in refused.value.detail
    assert (refused.value.field, bool(refused.value.remedy)) == ("rule", True)


def test_a_score_is_named_once() -> None:
    with pytest.raises(ValueError, match="names knn twice"):
        DecisionRule.of("knn", "knn")
