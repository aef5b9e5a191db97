import json
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import kstest

from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.curve_fitting import (
    TanhNetwork,
    crossings_of,
    draw_points,
    fit,
    fit_curve,
    initial_network,
    step,
)
from noisegate.spec import CurveFittingExperiment
from tests.learning.factories import Cancelled, Counter, nothing

SEEDS = range(6)


def spec(**changes: Any) -> CurveFittingExperiment:
    return CurveFittingExperiment(**({"samples": 500, "iterations": 30} | changes))


def fitted(experiment: CurveFittingExperiment, data_seed: int, seed: int) -> TanhNetwork:
    """What `fit_curve` should fit, from its parts."""
    x = draw_points(np.random.default_rng(data_seed), experiment)
    return fit(initial_network(np.random.default_rng(seed), experiment), x, step(x), experiment.iterations)


def at(network: TanhNetwork, x: float) -> float:
    return float(network(np.array([x]))[0])


def test_a_function_of_the_same_form_is_found_exactly() -> None:
    x = np.linspace(0.4, 0.6, 300)
    target = 0.3 + 0.8 * np.tanh(3 * (x - 0.52) / 0.1) - 0.4 * np.tanh((x - 0.45) / 0.1)
    start = initial_network(np.random.default_rng(2), spec(hidden_units=4))
    assert np.abs(start(x) - target).max() > 0.1
    assert np.abs(fit(start, x, target, 500)(x) - target).max() < 1e-4


def test_the_network_is_the_textbook_formula() -> None:
    network = TanhNetwork(0.1, np.array([2.0, -1.0, 0.5, 0.25, 3.0, -4.0, 0.125]))
    scaled = (0.53 - 0.5) / 0.1
    expected = 3 * np.tanh(2 * scaled + 0.5) - 4 * np.tanh(-scaled + 0.25) + 0.125
    assert at(network, 0.53) == pytest.approx(expected)


def test_the_jacobian_against_differences() -> None:
    network = initial_network(np.random.default_rng(3), spec(hidden_units=5))
    x = np.random.default_rng(4).uniform(0.3, 0.7, 20)
    jacobian = network.jacobian(x)
    assert jacobian.shape == (20, 16)
    for weight, column in enumerate(jacobian.T):
        nudge = 1e-6 * np.eye(16)[weight]
        up, down = (TanhNetwork(network.half_width, network.weights + way * nudge)(x) for way in (1, -1))
        np.testing.assert_allclose(column, (up - down) / 2e-6, atol=1e-7)


def test_initial_units_bend_evenly_over_the_training_range() -> None:
    network = initial_network(np.random.default_rng(5), spec(training_set="ends", hidden_units=5))
    slopes, biases, _ = network.weights[:-1].reshape(3, 5)
    assert 0.5 - 0.5 * biases / slopes == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert np.abs(slopes) == pytest.approx(0.7 * 5)
    assert len(set(np.sign(slopes))) == 2


def test_the_step_is_0_up_to_a_half_and_1_above() -> None:
    assert step(np.array([0, 0.5, np.nextafter(0.5, 1), 1])).tolist() == [0, 0, 1, 1]


def test_points_of_the_middle_are_uniform() -> None:
    x = draw_points(np.random.default_rng(6), spec(samples=3001))
    assert len(x) == 3001
    assert kstest(x, "uniform", args=(0.4, 0.2)).pvalue > 0.01


def test_points_of_the_ends_are_uniform_and_shared_equally() -> None:
    x = draw_points(np.random.default_rng(7), spec(training_set="ends", samples=3001))
    left, right = x[x < 0.5], x[x > 0.5]
    assert (len(left), len(right)) == (1500, 1501)
    assert kstest(left, "uniform", args=(0, 0.1)).pvalue > 0.01
    assert kstest(right, "uniform", args=(0.9, 0.1)).pvalue > 0.01


def test_crossings_of_a_known_curve() -> None:
    found = crossings_of(lambda x: 0.5 + np.cos(3 * np.pi * x))
    assert found == pytest.approx([1 / 6, 1 / 2, 5 / 6], abs=1e-12)
    assert len(crossings_of(lambda x: np.full_like(x, 0.4))) == 0


@pytest.mark.parametrize("training_set", ["middle", "ends"])
def test_measures_against_other_methods(training_set: str) -> None:
    experiment = spec(training_set=training_set)
    network = fitted(experiment, data_seed=1, seed=2)
    measures = fit_curve(experiment, 1, 2, nothing).measures
    x = draw_points(np.random.default_rng(1), experiment)
    gaps = [(0, 0.4), (0.6, 1)] if training_set == "middle" else [(0.1, 0.9)]
    assert measures["crossings"] == 1
    assert measures["crossing"] == pytest.approx(brentq(lambda x: at(network, x) - 0.5, 0.3, 0.7), abs=1e-9)
    assert measures["training_rmse"] == pytest.approx(np.sqrt(np.mean((network(x) - step(x)) ** 2)), abs=1e-12)
    assert measures["rmse"] == pytest.approx(rms_error(network, [(0, 1)]), rel=0.05, abs=1e-6)
    assert measures["rmse_where_no_data"] == pytest.approx(rms_error(network, gaps), rel=0.05, abs=1e-6)


def rms_error(network: TanhNetwork, parts: list[tuple[float, float]]) -> float:
    """By adaptive quadrature, where the code takes a mean over a grid."""
    square = sum(
        quad(lambda x: (at(network, x) - (x > 0.5)) ** 2, *part, points=[0.499, 0.5, 0.501], limit=500)[0]
        for part in parts
    )
    return float(np.sqrt(square / sum(high - low for low, high in parts)))


def test_of_several_crossings_the_nearest_counts() -> None:
    # A hundred units for ten points: the curve between them is anyone's guess.
    experiment = spec(hidden_units=100, samples=10)
    crossings = crossings_of(fitted(experiment, 0, 0))
    assert len(crossings) > 1
    measures = fit_curve(experiment, 0, 0, nothing).measures
    assert measures["crossings"] == len(crossings)
    assert measures["crossing"] == crossings[np.abs(crossings - 0.5).argmin()] != crossings[0]


def test_a_curve_may_not_cross_at_all() -> None:
    measures = [fit_curve(spec(samples=10, hidden_units=1, iterations=1), 0, seed, nothing).measures for seed in SEEDS]
    assert {(found["crossings"], found["crossing"] is None) for found in measures} == {(0, True), (1, False)}


def test_data_fix_the_crossing_only_where_there_are_data() -> None:
    middle, ends = (
        [fit_curve(spec(training_set=training_set), 0, seed, nothing).measures for seed in SEEDS]
        for training_set in ("middle", "ends")
    )
    fixed = np.array([found["crossing"] for found in middle])
    free = np.array([found["crossing"] for found in ends])
    assert np.abs(fixed - 0.5).max() < 1e-3
    assert free.std() > 20 * fixed.std()
    assert max(found["training_rmse"] or 0 for found in ends) < 1e-5
    assert min(found["rmse_where_no_data"] or 0 for found in ends) > 0.05


def test_the_papers_own_size() -> None:
    analysis = fit_curve(CurveFittingExperiment(iterations=10), 0, 0, nothing)
    assert analysis.measures["crossing"] == pytest.approx(0.5, abs=0.002)
    assert (analysis.measures["training_rmse"] or 1) < 0.15


def test_the_same_seeds_give_the_same_bytes_and_others_do_not() -> None:
    first, again, other, other_data = (
        content(fit_curve(spec(training_set="ends"), data_seed, seed, nothing))
        for data_seed, seed in [(1, 2), (1, 2), (1, 3), (4, 2)]
    )
    assert first == again
    assert len({first, other, other_data}) == 3


def content(analysis: Analysis) -> str:
    return json.dumps([dict(analysis.measures), dict(analysis.details)], allow_nan=False)


def test_details_draw_the_fitted_curve() -> None:
    details = fit_curve(spec(training_set="ends"), 1, 2, nothing).details
    x, curve = np.array(details["x"]), np.array(details["curve"])
    assert (len(x), x[0], x[1], x[-1]) == (201, 0, 0.005, 1)
    assert curve == pytest.approx(fitted(spec(training_set="ends"), 1, 2)(x), abs=1e-6)
    assert details["training_ranges"] == [[0, 0.1], [0.9, 1]]
    assert fit_curve(spec(), 1, 2, nothing).details["training_ranges"] == [[0.4, 0.6]]


def test_it_stops_after_its_iterations_and_when_told() -> None:
    counter = Counter()
    fit_curve(spec(iterations=7), 0, 0, counter)
    assert counter.calls == 1 + 7
    stopping = Counter(stop_at=3)
    with pytest.raises(Cancelled):
        fit_curve(spec(), 0, 0, stopping)
    assert stopping.calls == 3
