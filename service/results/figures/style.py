"""Colours, markers and marks. A series differs from another in hue, in lightness, and in marker and line: no one of them
is needed to tell them apart. Filled is measured, hollow is published.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib.ticker as mt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from service.results.figures.values import Value

INK = "#222222"
FAINT = "#666666"
GRID = "#dddddd"
SMALL = 8.5  # points
NORMAL = 9.5

Direction = Literal["x", "y"]
Dashes = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How a series is drawn; colours are Okabe and Ito's."""

    colour: str
    marker: str
    dashes: Dashes


LOOKS = (
    Look("#0072B2", "o", "-"),
    Look("#D55E00", "s", (0, (5, 2))),
    Look("#009E73", "^", (0, (5, 1.5, 1, 1.5))),
    Look("#CC79A7", "D", (0, (2, 1.2))),
    Look("#E69F00", "v", (0, (7, 1.5, 1, 1.5, 1, 1.5))),
    Look("#56B4E9", "P", (0, (9, 2))),
    Look("#000000", "X", (0, (1, 1.5))),
)
PUBLISHED_ALONE = Look(INK, "D", "")


def prepare(axes: Axes, *, grid: Literal["x", "y", "both"]) -> None:
    """Light grid below the data, no box."""
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=GRID, linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        # Plain numbers: neither offsets nor powers, which would need mathtext, whose parser is not made for threads.
        axis.set_major_formatter(mt.ScalarFormatter(useOffset=False, useMathText=False))


def set_log_ticks(axes: Axes, positions: Sequence[float]) -> None:
    """A logarithmic x axis that names the values that were swept."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(mt.FixedLocator(sorted(set(positions))))
    axes.xaxis.set_major_formatter(mt.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(mt.NullLocator())


def mark(
    axes: Axes,
    positions: Sequence[float],
    values: Sequence[Value],
    look: Look,
    *,
    filled: bool,
    joined: bool = False,
    along: Direction = "y",
) -> ErrorbarContainer:
    """Points with error bars where there are errors; `along` is the axis that the values are read on."""
    means = [value.mean for value in values]
    errors = [np.nan if value.error is None else value.error for value in values]
    some = None if np.isnan(errors).all() else errors
    x, y = (positions, means) if along == "y" else (means, positions)
    return axes.errorbar(
        x,
        y,
        xerr=some if along == "x" else None,
        yerr=some if along == "y" else None,
        color=look.colour,
        marker=look.marker,
        markersize=5.5,
        markerfacecolor=look.colour if filled else "white",
        markeredgewidth=1.1,
        linestyle=look.dashes if joined else "none",
        linewidth=1.4 if filled else 0.8,
        elinewidth=1.1,
        capsize=2.5,
        zorder=4 if filled else 3,
    )


def mark_level(axes: Axes, value: Value, *, filled: bool, along: Direction = "y") -> tuple[Artist, ...]:
    """The baseline: a line across the axes, and a band of one standard error to either side where it is known."""
    line, span = (axes.axhline, axes.axhspan) if along == "y" else (axes.axvline, axes.axvspan)
    drawn: Artist = line(value.mean, color=INK, linewidth=1.0, linestyle="-" if filled else (0, (1, 2)), zorder=1.5)
    if value.error is None:
        return (drawn,)
    ends = value.mean - value.error, value.mean + value.error
    if filled:
        return span(*ends, facecolor="#b0b0b0", alpha=0.6, linewidth=0, zorder=1), drawn
    return span(*ends, facecolor="none", edgecolor="#8a8a8a", hatch="/////", linewidth=0, zorder=1), drawn
