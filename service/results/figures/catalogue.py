"""Which figures an experiment can have, and the drawing of each by its name."""

from typing import TYPE_CHECKING

from noisegate.errors import NotFound
from noisegate.presets import catalogue as presets
from service.results.figures import GENERAL, KIND_FIGURES
from service.results.figures.entry import Draw, FigureData, KindFigures
from service.results.schemas import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figures_of(results: Results) -> dict[str, str]:
    """The figures of this experiment: name to title. A preset's own figure comes first, under the preset's name."""
    return {name: title for name, (title, _) in _offered(results).items()}


def needs_data(results: Results) -> bool:
    """Whether its figures are drawn from what each execution left for them, too."""
    return _of_kind(results).needs_data


def needs_samples(results: Results) -> bool:
    """Whether its figures are drawn from the scores of each test image by each execution."""
    return _of_kind(results).needs_samples


def draw(name: str, results: Results, data: FigureData) -> "Figure":
    """One of `figures_of(results)`. `data` may be empty unless `needs_data(results)` or `needs_samples(results)`.

    Raises:
        NotFound: this experiment has no such figure.
    """
    offered = _offered(results)
    if name not in offered:
        known = ", ".join(offered) or "none"
        raise NotFound(f"there is no figure {name!r} of this experiment", field="name", remedy=f"There are: {known}.")
    title, draw_it = offered[name]
    return draw_it(results, title, data)


def _offered(results: Results) -> dict[str, tuple[str, Draw]]:
    found = _of_kind(results)
    if not results.preset:
        return dict(found.own)
    of_preset = {results.preset.name: (_preset_title(results.preset.name), found.preset)}
    return of_preset | (dict(found.own) if found.keeps_own else {})


def _of_kind(results: Results) -> KindFigures:
    return KIND_FIGURES.get(results.kind, GENERAL)


def _preset_title(name: str) -> str:
    title = presets.get(name).title
    of_the_paper = name.startswith(("figure-", "table-"))
    return f"{name.replace('-', ' ').capitalize()}: {title}" if of_the_paper else title
