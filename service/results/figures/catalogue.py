"""Which figures an experiment can have, and the drawing of each by its name."""

from collections.abc import Callable
from functools import partial

from matplotlib.figure import Figure

from noisegate.errors import NotFound
from noisegate.presets import catalogue as presets
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
from service.results.figures.kinds import Details, draw_curves, draw_hybrids, draw_maps
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
_TABLES = {"table-2", "table-3", "table-3-gaussian"}
NEEDS_DETAILS = {"curve_fitting", "decision_map"}
_KINDS: dict[str, tuple[str, Callable[[Results, str, Details], Figure]]] = {
    "curve_fitting": ("curves", draw_curves),
    "hybrids": ("hybrids", draw_hybrids),
    "decision_map": ("decision-map", draw_maps),
}
_TITLES = {
    "accuracy": "Test accuracy",
    "metrics": "All metrics",
    "curves": "Fitted curves",
    "hybrids": "What hybrid images are taken for",
    "decision-map": "Decision regions",
}


def figures_of(results: Results) -> dict[str, str]:
    """The figures of this experiment: name to title. A preset's own figure comes first, under the preset's name."""
    preset = [results.preset.name] if results.preset else []
    if results.kind in _KINDS:
        names = preset or [_KINDS[results.kind][0]]
    elif results.kind == "training":
        names = [*preset, "accuracy", "metrics"]
    else:
        names = []
    return {name: _TITLES.get(name) or _preset_title(name) for name in names}


def draw(name: str, results: Results, details: Details) -> Figure:
    """One of `figures_of(results)`. `details` is needed for the kinds in `NEEDS_DETAILS` only, else it may be empty.

    Raises:
        NotFound: this experiment has no such figure.
    """
    titles = figures_of(results)
    if name not in titles:
        known = ", ".join(titles) or "none"
        raise NotFound(f"there is no figure {name!r} of this experiment", field="name", remedy=f"There are: {known}.")
    title = titles[name]
    if results.kind in _KINDS:
        return _KINDS[results.kind][1](results, title, details)
    if name in _TABLES or name == "metrics":
        return draw_metrics(results, title)
    # A preset whose sweep was changed may have nothing left on its own axis.
    chart = _CHARTS.get(name, numeric_chart)(results) or numeric_chart(results)
    return draw_chart(results, title, chart) if chart else draw_cells(results, title)


def _preset_title(name: str) -> str:
    title = presets.get(name).title
    of_the_paper = name.startswith(("figure-", "table-"))
    return f"{name.replace('-', ' ').capitalize()}: {title}" if of_the_paper else title
