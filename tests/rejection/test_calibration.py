import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from noisegate.errors import InvalidInput
from noisegate.manifest import Calibration
from noisegate.rejection.calibration import calibrate, fit_temperature, quantiles_of
from tests.conftest import examples

# Few distinct values beside many: ties are where quantiles go wrong.
SCORES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=120)


# Holdout images and a new one: reject scores with few distinct values beside many, each with or without noise on top.
IMAGES = st.lists(
    st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0])), st.booleans()),
    min_size=2,
    max_size=30,
)
BUDGETS = st.one_of(st.floats(0, 1), st.integers(0, 1000).map(lambda thousandths: thousandths / 1000))


def calibrated(images: list[tuple[float, bool]]) -> Calibration:
    scores, noise = zip(*images, strict=True)
    return calibrate(np.array(scores), np.array(noise), 1.0)


def of_scores(scores: np.ndarray) -> Calibration:
    """With a network that calls none of them noise."""
    return calibrate(scores, np.zeros(len(scores), dtype=np.bool_), 1.0)


def rejects(calibration: Calibration, image: tuple[float, bool], budget: float) -> bool:
    """The whole rule: noise on top, or a score above the threshold."""
    return image[1] or image[0] > calibration.threshold(budget)


def each_left_out(images: list[tuple[float, bool]]) -> Iterator[tuple[Calibration, tuple[float, bool]]]:
    """Each image as the new one, with all others as the holdout: what exchangeable images are to be averaged over."""
    for place, image in enumerate(images):
        yield calibrated([*images[:place], *images[place + 1 :]]), image


@settings(deadline=None, max_examples=examples(50))
@given(scores=SCORES)
def test_each_quantile_is_the_smallest_score_that_so_many_do_not_exceed(scores: list[float]) -> None:
    quantiles = quantiles_of(np.array(scores)).tolist()
    assert len(quantiles) == 1001
    assert quantiles == sorted(quantiles)
    for index, quantile in enumerate(quantiles):
        level = Fraction(index, 1000)
        assert share_up_to(scores, quantile) >= level
        smaller = [score for score in scores if score < quantile]
        assert not smaller or share_up_to(scores, max(smaller)) < level


@settings(deadline=None, max_examples=examples(100))
@given(images=IMAGES, budget=BUDGETS)
def test_of_exchangeable_images_the_whole_rule_rejects_at_most_the_budget(
    images: list[tuple[float, bool]], budget: float
) -> None:
    """In expectation, to the last image, where the budget can be promised; noise on top included."""
    rejected = [
        rejects(calibration, image, budget)
        for calibration, image in each_left_out(images)
        if budget >= calibration.smallest_promise
    ]
    assert sum(rejected) <= Fraction(budget) * len(images) + Fraction(1, 10**9)


@settings(deadline=None, max_examples=examples(100))
@given(images=IMAGES, budget=BUDGETS)
def test_what_is_promised_instead_is_kept_too(images: list[tuple[float, bool]], budget: float) -> None:
    """By default nothing is refused: where the holdout cannot promise the budget, what it can is in force."""
    found = [(rejects(one, image, budget), Fraction(one.promised(budget))) for one, image in each_left_out(images)]
    assert sum(rejected for rejected, _ in found) <= sum(promised for _, promised in found) + Fraction(1, 10**9)


@settings(deadline=None, max_examples=examples(100))
@given(scores=SCORES, budget=BUDGETS)
def test_the_threshold_is_the_conformal_rank(scores: list[float], budget: float) -> None:
    """The ⌈(n + 1)(1 − budget)⌉-th smallest, budgets in thousandths where there are more images than levels."""
    found = of_scores(np.array(scores)).threshold(budget)
    rank = math.ceil((len(scores) + 1) * (1 - Fraction(repr(budget))))
    assert found == sorted(scores)[min(max(rank, 1), len(scores)) - 1]


def test_with_more_images_than_levels_less_is_rejected_and_never_more() -> None:
    scores = np.random.default_rng(0).random(5_432)
    for budget in (0.0011, 0.01, 0.0505, 0.3, 0.9999):
        rank = math.ceil(5_433 * (1 - Fraction(repr(budget))))
        found = int((np.sort(scores) <= of_scores(scores).threshold(budget)).sum())
        assert rank <= found <= rank + 6


def test_noise_takes_its_share_of_the_budget() -> None:
    """A hundred images, of which the three with the smallest scores are called noise: of four, which
    are what a hundred can promise at 5 %, one other is left."""
    scores = np.arange(100) / 100
    calibration = calibrate(scores, scores < 0.03, 1.0)
    assert (calibration.samples, calibration.called_noise) == (100, 3)
    above = scores > calibration.threshold(0.05)
    assert (above | (scores < 0.03)).sum() == 4
    assert above.sum() == 1
    assert (scores > of_scores(scores).threshold(0.05)).sum() == 4


@pytest.mark.parametrize(
    ("samples", "noise", "smallest"),
    [(19, 0, 0.05), (24, 0, 0.04), (99, 0, 0.01), (24, 3, 0.165), (3, 0, 0.25), (4, 4, 1.0), (1, 0, 0.5)],
)
def test_the_smallest_promise(samples: int, noise: int, smallest: float) -> None:
    calibration = calibrate(np.arange(samples) / samples, np.arange(samples) < noise, 1.0)
    assert calibration.smallest_promise == smallest
    assert calibration.promised(0.001) == smallest
    assert calibration.promised(0.999) == max(0.999, smallest)
    assert calibration.threshold(0) == calibration.threshold(smallest) == max(calibration.quantiles)


def test_a_promise_is_rounded_up() -> None:
    assert of_scores(np.arange(12) / 12).smallest_promise == 0.077  # 1/13 is 0.07692…


def test_where_all_is_called_noise_nothing_else_is_rejected() -> None:
    calibration = calibrate(np.array([0.6, 0.9]), np.array([True, True]), 1.0)
    assert set(calibration.quantiles) == {1.0}


@pytest.mark.parametrize("budget", [-0.01, 1.01, float("nan")])
def test_a_budget_is_a_share(budget: float) -> None:
    with pytest.raises(InvalidInput, match="max_false_reject"):
        of_scores(np.array([0.5])).threshold(budget)


def test_calibrations_from_before_are_read_and_written_as_they_were() -> None:
    written = '{"samples":24,"quantiles":[0.0,0.5,1.0],"temperature":1.5}'
    before = Calibration.model_validate_json(written)
    assert before.model_dump_json() == written
    assert (before.smallest_promise, before.promised(0.0), before.threshold(0.0)) == (0.0, 0.0, 1.0)


def drawn_at(temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with the probabilities that dividing them by the temperature gives."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 4, (20_000, 5)).astype(np.float32)
    shares = softmax(logits / temperature, axis=1).cumsum(axis=1)
    return logits, (generator.random((len(logits), 1)) > shares).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_the_temperature_that_labels_were_drawn_at_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn_at(temperature)) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_makes_the_labels_likelier() -> None:
    logits, labels = drawn_at(2.0, seed=1)

    def loss(temperature: float) -> float:
        return -float(log_softmax(logits.astype(float) / temperature, axis=1)[np.arange(len(labels)), labels].mean())

    found = fit_temperature(logits, labels)
    assert all(loss(found) <= loss(other) + 1e-7 for other in np.geomspace(0.05, 20, 400))


def test_a_network_that_is_always_right_or_never_gets_a_temperature_within_bounds() -> None:
    logits = np.eye(3, dtype=np.float32)
    assert 0.05 <= fit_temperature(logits, np.arange(3)) < 0.06
    assert 19 < fit_temperature(logits, np.array([1, 2, 0])) <= 20


def share_up_to(scores: list[float], bound: float) -> Fraction:
    return Fraction(sum(score <= bound for score in scores), len(scores))
