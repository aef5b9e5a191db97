"""Small line plots as parts of a page: drawn by the template as SVG, in the page's own colours, in no time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from noisegate.api.card import CalibrationError, ReliabilityBin, RiskCoverage

WIDTH, HEIGHT = 420, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 40


@dataclass(frozen=True)
class Line:
    """One line: `points` as an SVG polyline has them, its marks, and which of the page's line colours it has."""

    label: str
    points: str
    marks: list[tuple[float, float]]
    colour: int


@dataclass(frozen=True)
class Plot:
    """A plot: ticks are pairs of a coordinate and its text."""

    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Line]
    described: str


def risk_coverage_plot(found: RiskCoverage) -> Plot:
    """Share wrong among the accepted test images, as more and more of them are accepted; in percent."""
    values = [(100 * point.coverage, 100 * point.risk) for point in found.curve]
    scale = _Scale(_ceiling(max(risk for _, risk in values)))
    described = f"Risk {found.curve[-1].risk:.1%} at full coverage; area under the curve {found.aurc:.4f}."
    line = scale.line("wrong among the accepted", values, 0, marks=False)
    return scale.plot("accepted of the test images, %", "wrong among them, %", [line], described)


def reliability_plot(found: CalibrationError) -> Plot:
    """Share right against mean probability, before and after temperature scaling; in percent."""
    scale = _Scale(100.0)
    lines = [scale.line("perfectly calibrated", [(0.0, 0.0), (100.0, 100.0)], 2, marks=False)]
    lines.append(scale.line(f"as trained: error {found.before.error:.1%}", _shares(found.before.bins), 1))
    described = f"Expected calibration error {found.before.error:.4f} as trained."
    if found.after:
        lines.append(scale.line(f"temperature scaled: error {found.after.error:.1%}", _shares(found.after.bins), 0))
        described += f" {found.after.error:.4f} after temperature scaling."
    return scale.plot("mean probability of the top class, %", "share of them right, %", lines, described)


@dataclass(frozen=True)
class _Scale:
    """Percentages to coordinates; x from 0 to 100, y from 0 to `most`."""

    most: float

    def line(self, label: str, values: Sequence[tuple[float, float]], colour: int, *, marks: bool = True) -> Line:
        placed = [(self._x(x), self._y(y)) for x, y in values]
        return Line(label, " ".join(f"{x},{y}" for x, y in placed), placed if marks else [], colour)

    def plot(self, x_label: str, y_label: str, lines: list[Line], described: str) -> Plot:
        x_ticks = [(self._x(value), f"{value}") for value in range(0, 101, 20)]
        step = self.most / 5
        y_ticks = [(self._y(step * number), f"{step * number:g}") for number in range(6)]
        return Plot(x_label, y_label, x_ticks, y_ticks, lines, described)

    def _x(self, value: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * value / 100, 1)

    def _y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.most, 1)


def _shares(bins: Sequence[ReliabilityBin]) -> list[tuple[float, float]]:
    pairs = ((one.confidence, one.accuracy) for one in bins)
    return [(100 * x, 100 * y) for x, y in pairs if x is not None and y is not None]


def _ceiling(value: float) -> float:
    """The next number of 1, 2, 5 times a power of ten; its fifths are round."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(float(f"{step * power:g}") for step in (1, 2, 5, 10) if step * power >= value)
