"""The page around the axes: heading, legend and notes, each with room of its own, so that none of them hides data."""

import itertools
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.legend_handler import HandlerTuple
from matplotlib.text import Text

from service.results.figures.style import FAINT, INK, NORMAL, SMALL
from service.results.figures.values import Value
from service.results.figures.wording import NOTHING_YET, sample_size, subtitle
from service.results.schemas import Results, Row

ERROR_BARS = "error bars and bands: ± 1 standard error"

_MARKS = "*†‡§"
_LINE = 0.165  # inches, of small print
_TITLE = 0.27
_GAP = 0.1
_SMALL_PER_INCH = 15.5  # characters of small print, on average
_LEGEND_PER_INCH = 16
_HANDLE_INCHES = 0.65

Handle = Artist | Container | tuple[Artist, ...]  # several are drawn one over the other


@dataclass
class Legend:
    """What the marks mean: measured ones in one column, published ones in the other."""

    measured: list[tuple[Handle, str]] = field(default_factory=list)
    published: list[tuple[Handle, str]] = field(default_factory=list)
    with_errors: bool = False

    def add(self, handle: Handle, name: str, values: Sequence[Value], *, published: bool = False) -> None:
        """Name a series. The name goes without its source and sample, which are told from `values`."""
        source = "published (CIFAR-10, {})" if published else "measured ({})"
        words = source.format(sample_size(value.n for value in values))
        entries = self.published if published else self.measured
        entries.append((handle, f"{name}: {words}" if name else words))
        self.with_errors |= any(value.error is not None for value in values)

    def __bool__(self) -> bool:
        return bool(self.measured or self.published)


class Notes:
    """What to know about the published values: notes on single rows, told apart by a mark, and one on all of them."""

    def __init__(self, results: Results) -> None:
        found = dict.fromkeys(row.published.note for row in results.rows if row.published and row.published.note)
        self._marks = dict(zip(found, itertools.cycle(_MARKS), strict=False))
        self._rows = results.rows
        self._about_all = [results.preset.published_note] if results.preset else []

    @property
    def lines(self) -> list[str]:
        """The small print."""
        return [f"{mark} Published value: {note}" for note, mark in self._marks.items()] + self._about_all

    @property
    def sentences(self) -> list[str]:
        """The small print where there are no labels to mark: it names its rows itself."""
        rows = [row for row in self._rows if row.published and row.published.note]
        return [
            f"{row.label}, published value: {row.published.note}" for row in rows if row.published
        ] + self._about_all

    def mark(self, row: Row) -> str:
        """What stands beside the row's label to point at its note; nothing without one."""
        return self._marks.get(row.published.note or "", "") if row.published else ""


def new_figure() -> Figure:
    """An empty page; `compose` gives it its size."""
    return Figure(layout="constrained", facecolor="white")


def compose(
    figure: Figure,
    results: Results,
    title: str,
    *,
    inches: tuple[float, float],
    legend: Legend,
    notes: Sequence[str] = (),
) -> Figure:
    """Put heading, legend and notes around axes that take `inches` (width, height)."""
    width, height = inches
    heading = textwrap.wrap(subtitle(results), int(width * _SMALL_PER_INCH), max_lines=3, placeholder=" …")
    small_print = [line for note in notes for line in textwrap.wrap(note, int(width * _SMALL_PER_INCH))]
    columns = _columns(legend, width)
    top = _GAP + _TITLE + len(heading) * _LINE + _GAP
    bottom = len(small_print) * _LINE + (_GAP if small_print else 0)
    legend_height = _legend_height(columns, with_title=legend.with_errors)
    total = top + height + legend_height + bottom
    figure.set_size_inches(width, total)
    rect = (0, (bottom + legend_height) / total, 1, height / total)
    figure.set_layout_engine("constrained", rect=rect, w_pad=0.08, h_pad=0.06)
    x = 0.12 / width
    figure.text(x, 1 - _GAP / total, title, fontsize=11.5, fontweight="bold", color=INK, va="top")
    under = "\n".join(heading)
    figure.text(x, 1 - (_GAP + _TITLE) / total, under, fontsize=SMALL, color=FAINT, va="top", linespacing=1.25)
    figure.text(x, (bottom - _GAP / 2) / total, "\n".join(small_print), fontsize=SMALL, color=FAINT, va="top")
    legend_top = (bottom + legend_height) / total
    _place_legend(figure, columns, legend_top, title=ERROR_BARS if legend.with_errors else None)
    return _literally(figure)


def say_nothing_yet(axes: Axes) -> None:
    """In the middle of axes without any value."""
    axes.text(0.5, 0.5, NOTHING_YET, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=NORMAL)


def _columns(legend: Legend, width: float) -> list[list[tuple[Handle, str]]]:
    """Measured beside published; if there is but one of them, or too little room, as many columns as fit."""
    entries = legend.measured + legend.published
    widest = max((_HANDLE_INCHES + len(name) / _LEGEND_PER_INCH for _, name in entries), default=width)
    if legend.measured and legend.published and 2 * widest <= width:
        return [legend.measured, legend.published]
    rows = math.ceil(len(entries) / max(1, int(width / widest)))
    return [entries[start : start + rows] for start in range(0, len(entries), max(rows, 1))]


def _legend_height(columns: Sequence[Sequence[object]], *, with_title: bool) -> float:
    rows = max((len(column) for column in columns), default=0)
    return (rows + with_title) * 0.178 + 0.12 if rows else 0.0


def _place_legend(
    figure: Figure, columns: Sequence[Sequence[tuple[Handle, str]]], top: float, title: str | None
) -> None:
    # One legend a column: matplotlib would fill the columns of a single one evenly, whatever belongs together.
    for index, column in enumerate(columns):
        handles: list[Any] = [handle for handle, _ in column]  # the types of matplotlib know single artists only
        placed = figure.legend(
            handles,
            [name for _, name in column],
            loc="upper left",
            bbox_to_anchor=(index / len(columns), top),
            fontsize=SMALL,
            frameon=False,
            alignment="left",
            title=(title if index == 0 else " ") if title else None,
            title_fontsize=SMALL,
            handlelength=2.6,
            labelspacing=0.35,
            borderaxespad=0.4,
            # A band with its line is one handle, drawn one over the other.
            handler_map={tuple: HandlerTuple(ndivide=1)},
        )
        placed.get_title().set_color(FAINT)


def _literally(figure: Figure) -> Figure:
    # A dollar sign in a name is no formula; besides, the parser of formulas is not made for threads.
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        if unknown := {ord(letter) for letter in text.get_text()} - _letters():
            text.set_text(text.get_text().translate(dict.fromkeys(unknown, "\ufffd")))
    return figure


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    """What the font can draw, and line breaks. Matplotlib would warn of every other letter, and draw a box."""
    return frozenset([*get_font(findfont(FontProperties())).get_charmap(), ord("\n")])
