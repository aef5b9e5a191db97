from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from noisegate.errors import InvalidInput
from noisegate.rejection.calibration import calibrate, fit_temperature

# Few distinct values beside many: ties are where quantiles go wrong.
SCORES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1, max_size=120)


@settings(deadline=None, max_examples=50)
@given(scores=SCORES)
def test_each_quantile_is_the_smallest_score_that_keeps_its_promise(scores: list[float]) -> None:
    calibration = calibrate(np.array(scores), 1.0)
    assert calibration.samples == len(scores)
    assert len(calibration.quantiles) == 1001
    assert calibration.quantiles == sorted(calibration.quantiles)
    for index, quantile in enumerate(calibration.quantiles):
        level = Fraction(index, 1000)
        assert share_up_to(scores, quantile) >= level
        smaller = [score for score in scores if score < quantile]
        assert not smaller or share_up_to(scores, max(smaller)) < level


@settings(deadline=None, max_examples=200)
@given(scores=SCORES, thousandths=st.integers(0, 1000))
def test_a_threshold_rejects_at_most_the_budget(scores: list[float], thousandths: int) -> None:
    calibration = calibrate(np.array(scores), 1.0)
    above = calibration.threshold(thousandths / 1000)
    assert above == calibration.quantiles[1000 - thousandths]
    assert 1 - share_up_to(scores, above) <= Fraction(thousandths, 1000)


def test_five_percent_of_a_hundred_are_five() -> None:
    scores = np.arange(100) / 100
    assert (scores > calibrate(scores, 1.0).threshold(0.05)).sum() == 5
    assert (scores > calibrate(scores, 1.0).threshold(0.0599)).sum() == 5
    assert (scores > calibrate(scores, 1.0).threshold(0)).sum() == 0


@pytest.mark.parametrize("budget", [-0.01, 1.01, float("nan")])
def test_a_budget_is_a_share(budget: float) -> None:
    with pytest.raises(InvalidInput, match="max_false_reject"):
        calibrate(np.array([0.5]), 1.0).threshold(budget)


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
