"""A measure against a swept number: Figures 9 to 12, and any sweep of one number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import JsonValue

from noisegate.spec.labels import label
from service.results.figures.page import Legend, Notes, compose, new_figure, say_nothing_yet
from service.results.figures.style import LOOKS, NORMAL, mark, mark_level, prepare, set_log_ticks
from service.results.figures.values import (
    ACCURACY,
    NOISE_COUNT,
    Metric,
    as_number,
    baseline_of,
    measured,
    noise_number,
    noise_value,
    published,
)
from service.results.figures.wording import shorten
from service.results.schemas import Results, Row

QUANTITY_AXIS = "noise images (× mean class size)"
STD_AXIS = "std of the noise (gray levels)"
MEAN_AXIS = "mean of the noise (gray levels)"
_AXES = {"noise.quantity": QUANTITY_AXIS, "noise.std": STD_AXIS, "noise.mean": MEAN_AXIS}
_LOG_FROM = 50  # times the smallest value


@dataclass(frozen=True)
class Line:
    """Cells that belong together, each at its place on the x axis."""

    name: str
    cells: Sequence[tuple[float, Row]]


@dataclass(frozen=True)
class Chart:
    """What is drawn, whatever the experiment."""

    x_axis: str
    lines: Sequence[Line]
    metrics: Sequence[Metric] = (ACCURACY,)
    log: bool = False
    ticks: Sequence[float] = ()


def noise_parameter_chart(results: Results, field: str, axis: str) -> Chart | None:
    """Against a parameter of the noise (Figures 9 and 10)."""
    lines = _lines(results, lambda row: [("", x)] if (x := noise_number(row.point, field)) is not None else [])
    return Chart(axis, lines) if lines else None


def quantity_chart(results: Results) -> Chart | None:
    """Against the number of noise images, one line a family (Figure 11). Quantity 0 is the baseline, not a point."""

    def places(row: Row) -> list[tuple[str, float]]:
        quantity = noise_number(row.point, "quantity")
        return [(_word(noise_value(row.point, "family")), quantity)] if quantity else []

    lines = _lines(results, places)
    return Chart(QUANTITY_AXIS, lines, log=True) if lines else None


def filter_chart(results: Results) -> Chart | None:
    """Accuracy and noise count against the size of the filter, one line a family and kind of filter (Figure 12)."""

    def places(row: Row) -> list[tuple[str, float]]:
        family = noise_value(row.point, "family")
        if family is None:
            return []
        size = noise_number(row.point, "filter.size") or 1
        # A filter of size 1 changes nothing: both kinds begin there.
        kinds = ["mean", "median"] if size == 1 else [_word(noise_value(row.point, "filter.kind"))]
        return [(f"{family}, {kind} filter", size) for kind in kinds]

    lines = _lines(results, places)
    sizes = sorted({x for line in lines for x, _ in line.cells})
    axis = "size of the filter (pixels)"
    return Chart(axis, lines, metrics=(ACCURACY, NOISE_COUNT), ticks=sizes) if lines else None


def numeric_chart(results: Results) -> Chart | None:
    """Against the one swept path whose values are numbers; None unless there is exactly one, with two values or more.

    What else was swept makes the lines, as many as there are ways to draw one.
    """
    paths = [path for path in results.rows[0].point if _is_numeric(results, path)]
    if len(paths) != 1:
        return None
    (path,) = paths
    if path == "noise.quantity" and len(results.rows[0].point) == 1:
        return quantity_chart(results)
    lines = _lines(results, lambda row: [(_others(row.point, path), _number(row, path))])
    if len(lines) > len(LOOKS):
        return None
    xs = [x for line in lines for x, _ in line.cells]
    return Chart(_AXES.get(path, path), lines, log=min(xs) > 0 and max(xs) >= _LOG_FROM * min(xs))


def draw_chart(results: Results, title: str, chart: Chart) -> Figure:
    """One panel a metric, side by side."""
    figure = new_figure()
    panels: Sequence[Axes] = figure.subplots(1, len(chart.metrics), squeeze=False)[0]
    # All panels hold the same series: the first one's marks stand for all.
    legend, *_ = [_draw_panel(axes, results, chart, metric) for axes, metric in zip(panels, chart.metrics, strict=True)]
    width = 7.4 if len(chart.metrics) == 1 else 9.2
    return compose(figure, results, title, inches=(width, 3.7), legend=legend, notes=Notes(results).sentences)


def _draw_panel(axes: Axes, results: Results, chart: Chart, metric: Metric) -> Legend:
    legend = Legend()
    prepare(axes, grid="both")
    axes.set_xlabel(chart.x_axis, fontsize=NORMAL)
    axes.set_ylabel(metric.axis.replace("\n", " "), fontsize=NORMAL)
    _set_ticks(axes, chart)
    for index, line in enumerate(chart.lines):
        _draw_line(axes, chart, index, line, metric, legend)
    _draw_baseline(axes, results, chart, metric, legend)
    if not legend:
        say_nothing_yet(axes)
    if metric is NOISE_COUNT:
        axes.set_ylim(bottom=0)
    return legend


def _set_ticks(axes: Axes, chart: Chart) -> None:
    xs = [x for line in chart.lines for x, _ in line.cells]
    if chart.log:
        set_log_ticks(axes, xs)
    elif chart.ticks:
        axes.set_xticks(chart.ticks)
    # Set whether or not anything has finished, so that the axes do not jump while an experiment fills them.
    margin = 0.04 * (max(xs) - min(xs)) or 1
    axes.set_xlim((min(xs) / 1.2, max(xs) * 1.2) if chart.log else (min(xs) - margin, max(xs) + margin))


def _draw_line(axes: Axes, chart: Chart, index: int, line: Line, metric: Metric, legend: Legend) -> None:
    look = LOOKS[index % len(LOOKS)]
    name = shorten(line.name, 44)
    for read, is_published in ((measured, False), (published, True)):
        found = [(_beside(x, index, chart), value) for x, row in line.cells if (value := read(row, metric))]
        if found:
            xs, values = zip(*found, strict=True)
            drawn = mark(axes, xs, values, look, filled=not is_published, joined=True)
            legend.add(drawn, name, values, published=is_published)


def _draw_baseline(axes: Axes, results: Results, chart: Chart, metric: Metric, legend: Legend) -> None:
    baseline = baseline_of(results)
    if baseline is None:
        return
    # A cell that is also a point is named in full: others may have no noise class either.
    is_point = any(row is baseline for line in chart.lines for _, row in line.cells)
    plain = not (is_point or baseline.has_noise_class)
    name = "no noise class" if plain else shorten(f"baseline, {baseline.label}", 44)
    for read, is_published in ((measured, False), (published, True)):
        if value := read(baseline, metric):
            drawn = mark_level(axes, value, filled=not is_published)
            legend.add(drawn, name, [value], published=is_published)


def _beside(x: float, index: int, chart: Chart) -> float:
    """Where the series is drawn: a little beside `x` if there are several, so that none hides another."""
    steps = index - (len(chart.lines) - 1) / 2
    xs = [place for line in chart.lines for place, _ in line.cells]
    return x * 1.035**steps if chart.log else x + 0.012 * (max(xs) - min(xs)) * steps


def _lines(results: Results, places: Callable[[Row], list[tuple[str, float]]]) -> list[Line]:
    cells: dict[str, list[tuple[float, Row]]] = {}
    for row in results.rows:
        for name, x in places(row):
            cells.setdefault(name, []).append((x, row))
    return [Line(name, sorted(found, key=lambda cell: cell[0])) for name, found in cells.items()]


def _is_numeric(results: Results, path: str) -> bool:
    values = [as_number(row.point[path]) for row in results.rows]
    return None not in values and len(set(values)) > 1


def _number(row: Row, path: str) -> float:
    number = as_number(row.point[path])
    assert number is not None, "numeric paths hold numbers only"
    return number


def _others(point: Mapping[str, JsonValue], path: str) -> str:
    others = {key: value for key, value in point.items() if key != path}
    return label(others) if others else ""


def _word(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
