"""Cells below each other, as in a table: one panel a metric. Tables 2 and 3, and sweeps of anything but one number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import JsonValue, ValidationError

from noisegate.spec import SubgroupSpec
from noisegate.spec.labels import label, share
from service.results.figures.page import Legend, Notes, compose, new_figure, say_nothing_yet
from service.results.figures.style import FAINT, LOOKS, NORMAL, PUBLISHED_ALONE, SMALL, Look, mark, mark_level, prepare
from service.results.figures.values import (
    ACCURACY,
    ACCURACY_STD,
    METRICS,
    KindMeasure,
    Metric,
    baseline_of,
    measured,
    published,
)
from service.results.figures.wording import shorten
from service.results.schemas import Results, Row

_ROW = 0.3  # inches, of one or two marks
_MOST_PANELS = 6
_MARK = 0.13  # inches, of each mark where there are more
_STD_NOTE = "The standard error of σ takes accuracies to be normally distributed."
_EVERYTHING = (0.0, "", "")
_RANKS = {"": 0, "lc": 1, "hc": 2, "ls": 1, "hs": 2}
_SELECTIONS = {"definition": "selection by definition", "as_published": "selection as published"}


@dataclass(frozen=True)
class Slot:
    """One line of the table: its label, what separates it from lines of another group, and its cells by series."""

    label: str
    group: str
    cells: Sequence[tuple[str, Row]]


def cell_slots(results: Results) -> list[Slot]:
    """A line a cell."""
    return [Slot(row.label, "", [("", row)]) for row in results.rows]


def subgroup_slots(results: Results) -> list[Slot]:
    """A line a subgroup, in the order of the paper; selections, controls and what else was swept are series of it."""
    cells: dict[tuple[float, str, str], list[tuple[str, Row]]] = {}
    kinds = {series for subgroup, series in (_subgroup(row.point) for row in results.rows) if subgroup}
    for row in results.rows:
        subgroup, series = _subgroup(row.point)
        if len(kinds) == 1:
            # The row of all training images, if there is one, is no series of its own.
            (series,) = kinds
        key = (subgroup.fraction, subgroup.correct, subgroup.wrong) if subgroup else _EVERYTHING
        cells.setdefault(key, []).append((series, row))
    order = sorted(cells, key=lambda key: (key[0], _RANKS[key[1]], _RANKS[key[2]]))
    return [Slot(_subgroup_label(*key), share(key[0]), cells[key]) for key in order]


def has_subgroups(results: Results) -> bool:
    """Whether the experiment is a table of subgroups."""
    return any(_subgroup(row.point)[0] for row in results.rows)


def draw_cells(results: Results, title: str) -> Figure:
    """Accuracy only, a line a cell."""
    return _draw(results, title, cell_slots(results), (ACCURACY,), width=7.4, with_baseline=True)


def draw_metrics(results: Results, title: str) -> Figure:
    """A panel for every metric that any cell has or the paper prints."""
    slots = subgroup_slots(results) if has_subgroups(results) else cell_slots(results)
    some = [
        metric for metric in METRICS if any(measured(row, metric) or published(row, metric) for row in results.rows)
    ]
    shown = some or [ACCURACY]
    return _draw(results, title, slots, shown, width=2.3 + 1.65 * max(len(shown), 3))


def draw_measures(results: Results, title: str) -> Figure:
    """A panel for every metric that any cell has, and for what the kind measures besides; the first six if there are more."""
    names = dict.fromkeys(name for row in results.rows for name in row.measures)
    some: list[Metric] = [metric for metric in METRICS if any(measured(row, metric) for row in results.rows)]
    some += [KindMeasure.named(name) for name in names]
    shown = some[:_MOST_PANELS] or [ACCURACY]
    more = f"Not shown: {', '.join(metric.field for metric in some[_MOST_PANELS:])}."
    notes = [more] if len(some) > _MOST_PANELS else []
    return _draw(results, title, cell_slots(results), shown, width=2.3 + 1.65 * max(len(shown), 3), notes=notes)


def _subgroup_label(fraction: float, correct: str, wrong: str) -> str:
    return f"{correct} ∪ {wrong}  {share(fraction)}" if correct else "all training images"


def _subgroup(point: Mapping[str, JsonValue]) -> tuple[SubgroupSpec | None, str]:
    """The subgroup, if a whole one was swept, and the words for all that the paper's rows do not say."""
    others = {path: value for path, value in point.items() if path.split(".")[0] != "subgroup"}
    rest = [label(others)] if others else []
    parts = {path.removeprefix("subgroup."): value for path, value in point.items() if path.startswith("subgroup.")}
    try:
        found = SubgroupSpec.model_validate(parts or point.get("subgroup"))
    except ValidationError:
        return None, ", ".join(rest)
    # Field by field, the sweep does not tell what it leaves to the spec.
    selection = _SELECTIONS[found.selection] if not parts or "selection" in parts else ""
    kind = f"{found.control} control" if found.control else selection
    return found, ", ".join(word for word in [kind, *rest] if word)


def _draw(
    results: Results,
    title: str,
    slots: Sequence[Slot],
    metrics: Sequence[Metric],
    *,
    width: float,
    with_baseline: bool = False,
    notes: Sequence[str] = (),
) -> Figure:
    figure = new_figure()
    panels: Sequence[Axes] = figure.subplots(1, len(metrics), squeeze=False, sharey=True)[0]
    # All panels hold the same series: the first one's marks stand for all.
    legend, *_ = [_draw_panel(axes, slots, metric) for axes, metric in zip(panels, metrics, strict=True)]
    if len(metrics) > 1:
        for axes, metric in zip(panels, metrics, strict=True):
            axes.set_title(metric.symbol, fontsize=NORMAL, fontweight="bold")
    if with_baseline:
        _draw_baseline(panels[0], results, legend)
    about = Notes(results)
    small_print = [*notes, _STD_NOTE] if ACCURACY_STD in metrics else [*notes]
    small_print += about.lines
    panels[0].set_yticks(range(len(slots)), [shorten(slot.label, 38, lines=2) + _marks(slot, about) for slot in slots])
    panels[0].set_ylim(len(slots) - 0.5, -0.5)
    row = max(_ROW, _MARK * max(len(_marks_of(slot)) for slot in slots))
    height = 0.9 + row * max(len(slots), 2)
    return compose(figure, results, title, inches=(width, height), legend=legend, notes=small_print)


def _marks(slot: Slot, notes: Notes) -> str:
    marks = dict.fromkeys(notes.mark(row) for _, row in slot.cells)
    return "".join(f" {mark}" for mark in marks if mark)


def _draw_panel(axes: Axes, slots: Sequence[Slot], metric: Metric) -> Legend:
    legend = Legend()
    prepare(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(metric.axis, fontsize=SMALL)
    _rule(axes, slots)
    for index, name in enumerate(_series(slots)):
        _draw_series(axes, slots, metric, name, LOOKS[index % len(LOOKS)], legend)
    _draw_published(axes, slots, metric, legend)
    if not legend:
        say_nothing_yet(axes)
    return legend


def _rule(axes: Axes, slots: Sequence[Slot]) -> None:
    """Every other row tinted, and a line between groups."""
    for place, slot in enumerate(slots):
        if place % 2:
            axes.axhspan(place - 0.5, place + 0.5, facecolor="#f4f4f4", linewidth=0, zorder=0)
        if place and slot.group != slots[place - 1].group:
            axes.axhline(place - 0.5, color=FAINT, linewidth=0.8, zorder=0.5)


def _series(slots: Sequence[Slot]) -> list[str]:
    return list(dict.fromkeys(name for slot in slots for name, _ in slot.cells))


def _draw_series(axes: Axes, slots: Sequence[Slot], metric: Metric, name: str, look: Look, legend: Legend) -> None:
    found = [
        (place + _offset(slot, name), value)
        for place, slot in enumerate(slots)
        for series, row in slot.cells
        if series == name and (value := measured(row, metric))
    ]
    if found:
        places, values = zip(*found, strict=True)
        drawn = mark(axes, places, values, look, filled=True, along="x")
        legend.add(drawn, shorten(name, 44), values)


def _draw_published(axes: Axes, slots: Sequence[Slot], metric: Metric, legend: Legend) -> None:
    # One mark a printed value: selections and controls of one subgroup share theirs.
    found = [
        (place + _offset(slot, None), value)
        for place, slot in enumerate(slots)
        for value in dict.fromkeys(published(row, metric) for _, row in slot.cells)
        if value
    ]
    if found:
        places, values = zip(*found, strict=True)
        drawn = mark(axes, places, values, PUBLISHED_ALONE, filled=False, along="x")
        legend.add(drawn, "", values, published=True)


def _draw_baseline(axes: Axes, results: Results, legend: Legend) -> None:
    baseline = baseline_of(results)
    if baseline and (value := measured(baseline, ACCURACY)):
        drawn = mark_level(axes, value, filled=True, along="x")
        legend.add(drawn, shorten(f"baseline, {baseline.label}", 44), [value])


def _offset(slot: Slot, series: str | None) -> float:
    """How far below its row's middle a series is drawn, in rows; None for the published values, which come last."""
    present = _marks_of(slot)
    step = min(0.36, 0.75 / len(present))
    return step * (present.index(series) - (len(present) - 1) / 2)


def _marks_of(slot: Slot) -> list[str | None]:
    series: list[str | None] = list(dict.fromkeys(name for name, _ in slot.cells))
    return [*series, None] if any(row.published for _, row in slot.cells) else series
