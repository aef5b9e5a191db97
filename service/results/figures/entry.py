"""What the figures of one kind of experiment are: which there are, and who draws them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from service.results.schemas import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What the executions of each cell left for figures, by the cell's position; in the order of the executions.
FigureData = Mapping[int, Sequence[Mapping[str, Any]]]

Draw = Callable[[Results, str, FigureData], "Figure"]


@dataclass(frozen=True)
class KindFigures:
    """The figures of a kind.

    Attributes:
        own: title and drawing of each, by its name.
        preset: draws the figure that has the name and title of the preset an experiment was posted from.
        keeps_own: whether an experiment posted from a preset has the kind's own figures besides.
        needs_samples: whether they are drawn from the scores of each test image.
        needs_data: whether they are drawn from more than the results: from what each execution left for figures.
    """

    own: Mapping[str, tuple[str, Draw]]
    preset: Draw
    keeps_own: bool = False
    needs_data: bool = False
    needs_samples: bool = False


def from_results(draw: Callable[[Results, str], "Figure"]) -> Draw:
    """A drawing that needs nothing but the results."""
    return lambda results, title, _data: draw(results, title)


def one_figure(name: str, title: str, draw: Draw, *, needs_data: bool = False) -> KindFigures:
    """Of a kind with one figure, which a preset renames."""
    return KindFigures({name: (title, draw)}, draw, needs_data=needs_data)
