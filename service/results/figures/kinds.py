"""Figures of the kinds of experiment that are no plain training: Figure 5, 6 and 13 of the paper."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from service.results.figures.entry import FigureData
from service.results.figures.page import Legend, compose, new_figure, say_nothing_yet
from service.results.figures.style import INK, LOOKS, NORMAL, SMALL, prepare
from service.results.figures.values import in_units
from service.results.figures.wording import NOTHING_YET, shorten
from service.results.schemas import Results, Row

_VISIBLE = (-0.75, 1.75)  # of fitted values, which can run far away from 0 … 1
_STEP = (0, (4, 2))
_NOISE = "."  # in regions and points of decision maps
_HYBRIDS = {
    "accepted_as_low": ("accepted as the parent of the low frequencies", "#0072B2", "", "white"),
    "accepted_as_high": ("accepted as the parent of the high frequencies", "#E69F00", "///", "black"),
    "accepted_as_other": ("accepted as something else", "#CC79A7", "...", "black"),
    "rejected": ("rejected", "#f0f0f0", "", "black"),
}
_ROOM_FOR_NUMBER = 5  # percent: narrower parts of a bar go without
_ROOM_FOR_ERROR = 16


def draw_curves(results: Results, title: str, data: FigureData) -> Figure:
    """Every execution's fitted curve over [0, 1], the step it was to learn, and where it was given data (Figure 5)."""
    figure = new_figure()
    panels = _panels(figure, results, per_line=2)
    for axes, row in zip(panels, results.rows, strict=False):
        _draw_curves(axes, row, data.get(row.cell, []))
    legend = Legend(
        measured=[
            (Line2D([], [], color=LOOKS[0].colour, linewidth=1), "fitted, a line an execution"),
            (Line2D([], [], color=INK, linewidth=1.6, linestyle=_STEP), "the true step"),
            (Patch(facecolor="#d9d9d9"), "where the training points lie"),
        ]
    )
    lines = -(-len(results.rows) // 2)
    return compose(figure, results, title, inches=(9.2, 3.6 * lines), legend=legend)


def draw_hybrids(results: Results, title: str) -> Figure:
    """What hybrids were taken for: a stacked bar a cell (Figure 6)."""
    figure = new_figure()
    axes = figure.subplots()
    prepare(axes, grid="x")
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the hybrids (%)", fontsize=NORMAL)
    for place, row in enumerate(results.rows):
        _draw_bar(axes, place, row)
    axes.set_yticks(range(len(results.rows)), [shorten(row.label, 30, lines=2) for row in results.rows])
    axes.set_ylim(len(results.rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    if not any("rejected" in row.measures for row in results.rows):
        say_nothing_yet(axes)
    legend = Legend(
        measured=[
            (Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.6), name)
            for name, colour, hatch, _ in _HYBRIDS.values()
        ]
    )
    note = "Numbers: mean over executions ± 1 standard error, where n > 1."
    height = 0.7 + 0.55 * max(len(results.rows), 2)
    return compose(figure, results, title, inches=(7.4, height), legend=legend, notes=[note])


def draw_maps(results: Results, title: str, data: FigureData) -> Figure:
    """Which part of the plane goes to which class, noise in white, with the training points (Figure 13)."""
    figure = new_figure()
    panels = _panels(figure, results, per_line=3)
    for axes, row in zip(panels, results.rows, strict=False):
        _draw_map(axes, row, data.get(row.cell, []))
    lines, columns = -(-len(results.rows) // 3), min(len(results.rows), 3)
    notes = [
        "Black lines are decision boundaries, white is what the network calls noise, gray dots are noise points.",
        "Shown is each cell's first execution; shares of the plane are means over executions ± 1 standard error.",
    ]
    return compose(figure, results, title, inches=(3.7 * max(columns, 2), 4.3 * lines), legend=Legend(), notes=notes)


def _panels(figure: Figure, results: Results, *, per_line: int) -> list[Axes]:
    columns = min(len(results.rows), per_line)
    grid = figure.subplots(-(-len(results.rows) // columns), columns, squeeze=False).flat
    panels: list[Axes] = list(grid)
    for empty in panels[len(results.rows) :]:
        empty.set_visible(False)
    return panels


def _draw_curves(axes: Axes, row: Row, found: Sequence[Mapping[str, Any]]) -> None:
    prepare(axes, grid="both")
    axes.set_xlim(0, 1)
    axes.set_ylim(*_VISIBLE)
    axes.set_xlabel("x", fontsize=NORMAL)
    axes.set_ylabel("fitted value", fontsize=NORMAL)
    for low, high in found[0]["training_ranges"] if found else []:
        axes.axvspan(low, high, facecolor="#d9d9d9", linewidth=0, zorder=1)
    for one in found:
        # The more there are, the fainter.
        alpha = max(0.3, min(0.9, 3 / len(found)))
        axes.plot(one["x"], one["curve"], color=LOOKS[0].colour, linewidth=0.8, alpha=alpha, zorder=3)
    axes.plot([0, 0.5, 0.5, 1], [0, 0, 1, 1], color=INK, linewidth=1.6, linestyle=_STEP, zorder=4)
    axes.set_title(f"{row.label}\n{_crossing(row, found)}", fontsize=SMALL, color=INK)


def _crossing(row: Row, found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return NOTHING_YET
    crossing = row.measures.get("crossing")
    words = f"n = {row.n}, crosses 0.5 nowhere"
    if crossing:
        spread = "" if crossing.std is None else f" ± {crossing.std:.4f} (std)"
        words = f"crosses 0.5 at {crossing.mean:.4f}{spread}, n = {crossing.n}"
    low, high = _VISIBLE
    outside = sum(min(one["curve"]) < low or max(one["curve"]) > high for one in found)
    return f"{words}; {outside} curves leave the picture" if outside else words


def _draw_bar(axes: Axes, place: int, row: Row) -> None:
    left = 0.0
    for measure, (_, colour, hatch, ink) in _HYBRIDS.items():
        if (summary := row.measures.get(measure)) is None:
            continue
        value = in_units(summary, 100)
        axes.barh(place, value.mean, 0.62, left, color=colour, hatch=hatch, edgecolor=INK, linewidth=0.6, zorder=3)
        if value.mean >= _ROOM_FOR_NUMBER:
            error = "" if value.error is None else f" ± {value.error:.1f}"
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.2} if hatch else None
            words = f"{value.mean:.1f}{error}" if value.mean >= _ROOM_FOR_ERROR else f"{value.mean:.0f}"
            axes.text(
                left + value.mean / 2,
                place,
                words,
                color=ink,
                fontsize=SMALL,
                ha="center",
                va="center",
                bbox=box,
                zorder=5,
            )
        left += value.mean


def _draw_map(axes: Axes, row: Row, found: Sequence[Mapping[str, Any]]) -> None:
    axes.set_aspect("equal")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(f"{row.label} (n = {row.n})", fontsize=NORMAL, color=INK)
    axes.set_xlabel(_areas(row) if found else NOTHING_YET, fontsize=SMALL)
    if found:
        classes: list[str] = found[0]["classes"]
        _draw_regions(axes, classes, found[0]["regions"])
        _draw_points(axes, classes, found[0]["points"])


def _draw_regions(axes: Axes, classes: Sequence[str], regions: Sequence[str]) -> None:
    cells = np.array([list(line) for line in regions])
    tints = np.ones((*cells.shape, 3))
    steps = np.linspace(0, 1, len(regions))
    for index, name in enumerate(classes):
        mask = cells == name
        tints[mask] = _tint(index)
        if 0 < mask.sum() < mask.size:
            axes.contour(steps, steps, mask.astype(float), [0.5], colors=INK, linewidths=0.9, zorder=2)
    half = 0.5 / (len(regions) - 1)
    axes.imshow(tints, origin="lower", extent=(-half, 1 + half, -half, 1 + half), interpolation="nearest", zorder=1)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _draw_points(axes: Axes, classes: Sequence[str], points: Sequence[tuple[float, float, str]]) -> None:
    if noise := [(x, y) for x, y, found in points if found == _NOISE]:
        x, y = np.array(noise).T
        axes.scatter(x, y, s=3, color="#8a8a8a", marker=".", zorder=2.5)
    for index, name in enumerate(classes):
        place = np.array([(x, y) for x, y, found in points if found == name])
        if len(place):
            look = LOOKS[index % len(LOOKS)]
            x, y = place.T
            axes.scatter(x, y, s=7, color=look.colour, marker=look.marker, linewidths=0, zorder=3)
            box = {"facecolor": "white", "edgecolor": look.colour, "boxstyle": "circle,pad=0.25", "alpha": 0.9}
            axes.text(
                x.mean(),
                y.mean(),
                name,
                fontsize=SMALL,
                fontweight="bold",
                ha="center",
                va="center",
                bbox=box,
                zorder=5,
            )


def _tint(index: int) -> tuple[float, float, float]:
    # Neighbouring classes differ in lightness too, for a reader without colours.
    weight = (0.25, 0.45)[index % 2]
    red, green, blue = (1 - weight * (1 - channel) for channel in to_rgb(LOOKS[index % len(LOOKS)].colour))
    return red, green, blue


def _areas(row: Row) -> str:
    parts = []
    for name in sorted(measure for measure in row.measures if measure.startswith("area_")):
        area = in_units(row.measures[name], 100)
        error = "" if area.error is None else f" ± {area.error:.1f}"
        words = f"{name.removeprefix('area_')} {area.mean:.1f}{error} %"
        # No line breaks within a number.
        parts.append(words.replace(" ", "\N{NO-BREAK SPACE}"))
    return shorten(", ".join(parts), 54, lines=4)
