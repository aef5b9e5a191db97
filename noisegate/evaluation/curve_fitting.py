"""Curve fitting (the paper's Figure 5): a small network learns a step from part of [0, 1]; what does it say of the rest?

The network is what MATLAB's `fitnet` makes, from memory: one layer of tanh units and a linear output, inputs scaled to
−1 … 1, the initial weights of Nguyen and Widrow (1990). MATLAB fits by Levenberg-Marquardt; SciPy's trust-region
method used here damps the same Gauss-Newton steps, and unlike SciPy's "lm" it takes fewer points than weights.

MATLAB keeps 15 % of the points to stop early and 15 % to test. Here all of them are fitted: tens of thousands of exact
values leave 31 weights nothing to overfit, and points kept aside would lie in the same ranges, where they cannot see
what the curve does elsewhere.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from noisegate.evaluation.analysis import Analysis
from noisegate.spec import CurveFittingExperiment

Values = Float64[np.ndarray, " n"]
Curve = Callable[[Values], Values]

_STEP_AT = 0.5
_LEVEL = 0.5  # halfway up the step: where a curve counts as 0 below and as 1 above
_RANGES = {"middle": ((0.4, 0.6),), "ends": ((0.0, 0.1), (0.9, 1.0))}
_FINE = np.linspace(0, 1, 2001)
_DRAWN = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class TanhNetwork:
    """One hidden layer of tanh units and a linear output; x is scaled to (x − 0.5) / half_width first.

    `weights` holds 3 · units + 1 numbers: each unit's input weight, its bias, its output weight, and the output's bias.
    """

    half_width: float
    weights: Float64[np.ndarray, " weights"]

    def __call__(self, x: Values) -> Values:
        _, _, out = self.weights[:-1].reshape(3, -1)
        result: Values = self._hidden(x) @ out + self.weights[-1]
        return result

    def jacobian(self, x: Values) -> Float64[np.ndarray, "n weights"]:
        """The derivative of every output by every weight."""
        _, _, out = self.weights[:-1].reshape(3, -1)
        hidden = self._hidden(x)
        by_bias = out * (1 - hidden**2)
        return np.hstack([self._scaled(x) * by_bias, by_bias, hidden, np.ones((len(x), 1))])

    def _scaled(self, x: Values) -> Float64[np.ndarray, "n 1"]:
        return (x[:, np.newaxis] - _STEP_AT) / self.half_width

    def _hidden(self, x: Values) -> Float64[np.ndarray, "n units"]:
        slopes, biases, _ = self.weights[:-1].reshape(3, -1)
        hidden: Float64[np.ndarray, "n units"] = np.tanh(self._scaled(x) * slopes + biases)
        return hidden


def fit_curve(spec: CurveFittingExperiment, data_seed: int, seed: int, between_steps: Callable[[], None]) -> Analysis:
    """Fit the network and see where its curve crosses 0.5, and how far it is from the step.

    The same arguments give the same bytes on one machine.

    Args:
        data_seed: draws the points, which are fixed over a cell's executions.
        seed: draws the initial weights.
        between_steps: called before each evaluation of all points. Whatever it raises passes through.

    Returns:
        Measures `crossing` (0 … 1, the nearest to 0.5; None without any), `crossings` (how many), and root mean square
        errors: `training_rmse` over the points, `rmse` over [0, 1], `rmse_where_no_data` over what of [0, 1] the
        training ranges leave out. Details `x`, `curve` and `training_ranges`, to draw.
    """
    ranges = _RANGES[spec.training_set]
    x = draw_points(np.random.default_rng(data_seed), spec)
    network = fit(initial_network(np.random.default_rng(seed), spec), x, step(x), spec.iterations, between_steps)
    crossings = crossings_of(network)
    errors = network(_FINE) - step(_FINE)
    return Analysis(
        measures={
            "crossing": float(min(crossings, key=lambda at: abs(at - _STEP_AT))) if len(crossings) else None,
            "crossings": len(crossings),
            "training_rmse": _root_mean_square(network(x) - step(x)),
            "rmse": _root_mean_square(errors),
            "rmse_where_no_data": _root_mean_square(errors[~_within(ranges, _FINE)]),
        },
        details={
            "x": _DRAWN.round(6).tolist(),
            "curve": network(_DRAWN).round(6).tolist(),
            "training_ranges": [[low, high] for low, high in ranges],
        },
    )


def step(x: Values) -> Values:
    """What is to be fitted (section 3.3): 0 up to and at 0.5, 1 above."""
    return (x > _STEP_AT).astype(np.float64)


def draw_points(generator: np.random.Generator, spec: CurveFittingExperiment) -> Values:
    """`spec.samples` values of x, uniform over the training ranges; each gets its equal share, an odd one the last."""
    ranges = _RANGES[spec.training_set]
    shares = [(spec.samples + place) // len(ranges) for place in range(len(ranges))]
    # The paper leaves 0.1 and 0.9 out. Either is drawn once in 10¹⁵ points, if at all.
    parts = [generator.uniform(low, high, share) for (low, high), share in zip(ranges, shares, strict=True)]
    return np.concatenate(parts)


def initial_network(generator: np.random.Generator, spec: CurveFittingExperiment) -> TanhNetwork:
    """Nguyen and Widrow's weights: the units' slopes are as steep as they can share the scaled range −1 … 1.

    Chance decides the direction of each unit and the output's weights.
    """
    directions = generator.choice([-1.0, 1.0], spec.hidden_units)
    steepness = 0.7 * spec.hidden_units
    biases = steepness * np.linspace(-1, 1, spec.hidden_units) * directions
    # MATLAB draws from −1 … 1 for targets scaled to −1 … 1; ours are 0 and 1.
    out = generator.uniform(-0.5, 0.5, spec.hidden_units)
    bias = generator.uniform(0, 1, 1)
    half_width = _RANGES[spec.training_set][-1][1] - _STEP_AT
    return TanhNetwork(half_width, np.concatenate([steepness * directions, biases, out, bias]))


def fit(
    network: TanhNetwork, x: Values, y: Values, iterations: int, between_steps: Callable[[], None] = lambda: None
) -> TanhNetwork:
    """The network with the weights of least squares, after at most `iterations` steps."""
    # Of the mean, not the sum: so that the solver's tolerances mean the same for any number of points.
    scale = math.sqrt(len(x))

    def residuals(weights: Float64[np.ndarray, " weights"]) -> Values:
        between_steps()
        errors: Values = (TanhNetwork(network.half_width, weights)(x) - y) / scale
        return errors

    def jacobian(weights: Float64[np.ndarray, " weights"]) -> Float64[np.ndarray, "n weights"]:
        return TanhNetwork(network.half_width, weights).jacobian(x) / scale

    # The first evaluation is of the initial weights: not a step yet.
    # One thread: the last digits would depend on their number, and on busy cores they wait for each other.
    with threadpool_limits(1):
        found = least_squares(residuals, network.weights, jacobian, max_nfev=iterations + 1)
    return TanhNetwork(network.half_width, found.x)


def crossings_of(curve: Curve) -> Values:
    """Where in [0, 1] the curve passes 0.5, in rising order, to machine precision.

    Two crossings closer than 1/2000 can hide from the grid they are sought on.
    """
    above = curve(_FINE) > _LEVEL
    before = np.flatnonzero(above[1:] != above[:-1])
    low, high, starts_above = _FINE[before], _FINE[before + 1], above[before]
    for _ in range(45):  # 1/2000 halved so often is below float64's resolution at 0.5
        middle = (low + high) / 2
        not_yet = (curve(middle) > _LEVEL) == starts_above
        low, high = np.where(not_yet, middle, low), np.where(not_yet, high, middle)
    return (low + high) / 2


def _within(ranges: tuple[tuple[float, float], ...], x: Values) -> Bool[np.ndarray, " n"]:
    within: Bool[np.ndarray, " n"] = np.any([(low <= x) & (x <= high) for low, high in ranges], axis=0)
    return within


def _root_mean_square(errors: Values) -> float:
    return float(np.sqrt(np.mean(errors**2)))
