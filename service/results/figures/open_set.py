"""Figures of open-set experiments, drawn from the scores of every test image by every execution: ROC, OSCR, risk, histograms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from noisegate.spec.labels import label
from service.results.figures.entry import FigureData
from service.results.figures.page import Legend, compose, new_figure, say_nothing_yet
from service.results.figures.style import INK, LOOKS, NORMAL, SMALL, prepare
from service.results.figures.wording import shorten
from service.results.samples import KNOWN, SampleScores
from service.results.schemas import Results

Values = npt.NDArray[np.float64]
# Known images, unknown ones, and which of the known are right, of one execution and score.
Curve = Callable[[Values, Values, npt.NDArray[np.bool_]], tuple[Values, Values]]

_GRID = np.linspace(0, 1, 201)
_BINS = 40
# What decides, and the scores of a figure that shows some of them; each has a look of its own.
_DECIDING = ("rule", "reject_score")
_PER_LINE = 3
_MEANS = "Lines are means over executions and splits, bands ± 1 standard error."


def roc(known: Values, unknown: Values, correct: npt.NDArray[np.bool_]) -> tuple[Values, Values]:
    """Unknown images rejected over known images rejected, at every threshold."""
    del correct  # right or wrong, known is known
    thresholds = np.unique(np.concatenate([known, unknown]))[::-1]
    false = np.array([0.0, *(1 - np.searchsorted(np.sort(known), thresholds, side="left") / len(known))])
    true = np.array([0.0, *(1 - np.searchsorted(np.sort(unknown), thresholds, side="left") / len(unknown))])
    return false, true


def oscr(known: Values, unknown: Values, correct: npt.NDArray[np.bool_]) -> tuple[Values, Values]:
    """Known images accepted and right over unknown images accepted, at every threshold."""
    thresholds = np.unique(np.concatenate([known, unknown]))
    accepted = np.array([0.0, *(np.searchsorted(np.sort(unknown), thresholds, side="right") / len(unknown))])
    right = np.array([0.0, *(np.searchsorted(np.sort(known[correct]), thresholds, side="right") / len(known))])
    return accepted, right


def risk(known: Values, unknown: Values, correct: npt.NDArray[np.bool_]) -> tuple[Values, Values]:
    """The share of wrong answers among the known images accepted, over the share accepted."""
    del unknown  # it is of the known images alone
    order = np.argsort(known, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(known[order]) > 0, True))
    wrong = np.cumsum(~correct[order])[ends]
    return (ends + 1) / len(known), wrong / (ends + 1)


def draw_sets(curve: Curve, x_axis: str, y_axis: str, results: Results, title: str, data: FigureData) -> Figure:
    """A panel for each group of cells and set of unknown images, a line a score: the mean over executions, on one grid."""
    shown = [(group, name) for group in _groups(results, data) for name in group.sets]
    figure = new_figure()
    panels, lines = _panels(figure, max(1, len(shown)))
    scores = _scores(data)
    for axes, (group, name) in zip(panels, shown, strict=False):
        _prepare(axes, x_axis, y_axis, group.titled(name))
        axes.set_ylim(0, 1.01)
        for number, score in enumerate(scores):
            _draw_mean(axes, group.curves(name, score, curve), number)
    if not shown:
        say_nothing_yet(panels[0])
    return _composed(figure, results, title, panels, lines, scores, [_MEANS])


def draw_risk(results: Results, title: str, data: FigureData) -> Figure:
    """A panel for each group of cells: risk over coverage of each score on the known images."""
    groups = _groups(results, data)
    figure = new_figure()
    panels, lines = _panels(figure, max(1, len(groups)))
    scores = [score for score in _scores(data) if score != "noise_probability"]
    for axes, group in zip(panels, groups, strict=False):
        _prepare(axes, "known images accepted", "wrong among the accepted", group.titled(KNOWN))
        axes.set_ylim(bottom=0)
        for number, score in enumerate(scores):
            _draw_mean(axes, group.curves(KNOWN, score, risk), number)
    if not groups:
        say_nothing_yet(panels[0])
    notes = [f"Of known test images, the least unknown first. {_MEANS}"]
    return _composed(figure, results, title, panels, lines, scores, notes)


def draw_histograms(results: Results, title: str, data: FigureData) -> Figure:
    """How the deciding score is spread over known and unknown images: a panel a set, of all executions together."""
    shown = [(group, name) for group in _groups(results, data) for name in group.sets]
    figure = new_figure()
    panels, lines = _panels(figure, max(1, len(shown)))
    score = next((one for one in _DECIDING if one in _scores(data)), "")
    for axes, (group, name) in zip(panels, shown, strict=False):
        _prepare(axes, score.replace("_", " "), "share of the images", group.titled(name))
        axes.set_xlim(auto=True)
        _draw_histogram(axes, group.pooled(KNOWN, score), group.pooled(name, score))
    if not shown:
        say_nothing_yet(panels[0])
    legend = Legend(
        measured=[
            (Patch(facecolor=LOOKS[0].colour, alpha=0.5), "known"),
            (Patch(facecolor="none", edgecolor=LOOKS[1].colour, linewidth=1.4), "unknown"),
        ]
    )
    return compose(figure, results, title, inches=_inches(panels, lines), legend=legend)


@dataclass(frozen=True)
class _Group:
    """Executions of cells that differ in their known classes alone; `label` is empty where there is one group."""

    label: str
    executions: Sequence[Mapping[str, SampleScores]]

    @property
    def sets(self) -> list[str]:
        """The names of its sets of unknown images."""
        return list(dict.fromkeys(name for one in self.executions for name in one if name != KNOWN))

    def titled(self, name: str) -> str:
        """The heading of a panel."""
        words = name.replace("_", " ")
        return f"{words}; {self.label}" if self.label else words

    def curves(self, name: str, score: str, curve: Curve) -> list[Values]:
        """On one grid, of each execution that has the set and the score."""
        found = []
        for one in self._with(name, score):
            x, y = curve(one[KNOWN].scores[score], one[name].scores[score], one[KNOWN].correct)
            found.append(np.interp(_GRID, x, y, left=np.nan))
        return found

    def pooled(self, name: str, score: str) -> Values:
        """The score of the images of a set, of all executions."""
        found = [one[name].scores[score] for one in self._with(name, score)]
        return np.concatenate(found) if found else np.empty(0)

    def _with(self, name: str, score: str) -> list[Mapping[str, SampleScores]]:
        return [one for one in self.executions if name in one and score in one[name].scores]


def _groups(results: Results, data: FigureData) -> list[_Group]:
    found: dict[str, list[Mapping[str, SampleScores]]] = {}
    for row in results.rows:
        shared = {path: value for path, value in row.point.items() if path.split(".")[0] != "known"}
        found.setdefault(label(shared), []).extend(data.get(row.cell, []))
    alone = len(found) == 1
    return [_Group("" if alone else name, executions) for name, executions in found.items() if executions]


def _panels(figure: Figure, count: int) -> tuple[list[Axes], int]:
    columns = 2 if count == 4 else min(count, _PER_LINE)
    lines = -(-count // columns)
    panels: list[Axes] = list(figure.subplots(lines, columns, squeeze=False).flat)
    for empty in panels[count:]:
        empty.set_visible(False)
    return panels, lines


def _inches(panels: Sequence[Axes], lines: int) -> tuple[float, float]:
    return max(5.6, 3.4 * len(panels) / lines), 3.3 * lines


def _prepare(axes: Axes, x_axis: str, y_axis: str, name: str) -> None:
    prepare(axes, grid="both")
    axes.set_xlim(0, 1)
    axes.set_xlabel(x_axis, fontsize=NORMAL)
    axes.set_ylabel(y_axis, fontsize=NORMAL)
    axes.set_title(shorten(name, 34), fontsize=SMALL, color=INK)


def _composed(
    figure: Figure,
    results: Results,
    title: str,
    panels: Sequence[Axes],
    lines: int,
    scores: Sequence[str],
    notes: Sequence[str],
) -> Figure:
    handles = [
        Line2D([], [], color=_look(at).colour, linestyle=_look(at).dashes, linewidth=1.4) for at in range(len(scores))
    ]
    legend = Legend(measured=[(handle, score.replace("_", " ")) for handle, score in zip(handles, scores, strict=True)])
    return compose(figure, results, title, inches=_inches(panels, lines), legend=legend, notes=notes)


def _look(number: int) -> Any:
    return LOOKS[number % len(LOOKS)]


def _scores(data: FigureData) -> list[str]:
    """Those that there are, what decides first; as many as have a look."""
    executions = (execution for cell in data.values() for execution in cell)
    found = dict.fromkeys(score for one in executions for part in one.values() for score in part.scores)
    ordered = [*(score for score in _DECIDING if score in found), *(score for score in found if score not in _DECIDING)]
    return ordered[: len(LOOKS)]


def _draw_mean(axes: Axes, curves: Sequence[Values], number: int) -> None:
    if not curves:
        return
    stacked = np.stack(curves)
    mean, look = stacked.mean(axis=0), _look(number)
    axes.plot(_GRID, mean, color=look.colour, linestyle=look.dashes, linewidth=1.3, zorder=4 - number / 100)
    if len(curves) > 1:
        error = stacked.std(axis=0, ddof=1) / np.sqrt(len(curves))
        axes.fill_between(_GRID, mean - error, mean + error, color=look.colour, alpha=0.15, linewidth=0, zorder=2)


def _draw_histogram(axes: Axes, known: Values, unknown: Values) -> None:
    if not len(known) or not len(unknown):
        return
    low, high = float(min(known.min(), unknown.min())), float(max(known.max(), unknown.max()))
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    shares = [np.histogram(values, edges)[0] / len(values) for values in (known, unknown)]
    axes.stairs(shares[0], edges, fill=True, color=LOOKS[0].colour, alpha=0.5, zorder=2)
    axes.stairs(shares[1], edges, color=LOOKS[1].colour, linewidth=1.4, zorder=3)


draw_roc = partial(draw_sets, roc, "known images rejected", "unknown images rejected")
draw_oscr = partial(draw_sets, oscr, "unknown images accepted", "known images accepted and right")
