"""Figures of plain training: accuracy over what was swept, and the tables and figures of the paper under their own names."""

from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from service.results.figures.curves import (
    MEAN_AXIS,
    STD_AXIS,
    Chart,
    draw_chart,
    filter_chart,
    noise_parameter_chart,
    numeric_chart,
    quantity_chart,
)
from service.results.figures.rows import draw_cells, draw_metrics
from service.results.schemas import Results

_CHARTS: dict[str, Callable[[Results], Chart | None]] = {
    "figure-9": partial(noise_parameter_chart, field="std", axis=STD_AXIS),
    "figure-10": partial(noise_parameter_chart, field="mean", axis=MEAN_AXIS),
    "figure-11": quantity_chart,
    "figure-12": filter_chart,
    "solid-colour": quantity_chart,
    "gray": quantity_chart,
    "uniform-127-50": quantity_chart,
}
_TABLES = {"table-2", "table-3", "table-3-gaussian", "table-2-features", "table-3-features"}


def draw_accuracy(results: Results, title: str) -> Figure:
    """Over the number that was swept, if it is one; else a line a cell."""
    chart = numeric_chart(results)
    return draw_chart(results, title, chart) if chart else draw_cells(results, title)


def draw_preset(results: Results, title: str) -> Figure:
    """As the paper draws it."""
    name = results.preset.name if results.preset else ""
    if name in _TABLES:
        return draw_metrics(results, title)
    # A preset whose sweep was changed may have nothing left on its own axis.
    chart = _CHARTS[name](results) if name in _CHARTS else None
    return draw_chart(results, title, chart) if chart else draw_accuracy(results, title)
