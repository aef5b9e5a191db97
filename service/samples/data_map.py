"""The data map as a figure (Swayamdipta et al., 2020): easy, ambiguous and hard training images at a glance."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from service.results.figures.files import Format, write
from service.results.figures.page import new_figure
from service.results.figures.style import FAINT, INK, NORMAL, SMALL, prepare
from service.samples.tables import SampleTable

# Dots beyond these would only hide each other; they are drawn in even steps through the ranking.
_MOST_DOTS = 20_000
_INCHES = (7.4, 5.6)
_COLOURS = "viridis"
# Where the three kinds of images lie.
_REGIONS = ((0.03, 0.96, "easy"), (0.97, 0.5, "ambiguous"), (0.03, 0.04, "hard, or mislabelled"))


def draw_data_map(table: SampleTable, dataset: str, format: Format) -> bytes:
    """Mean probability of the label over its spread over epochs; colour is the share of epochs in which the image was right."""
    rows = table.rows.filter(table.rows["spread_epochs"].is_valid())
    step = -(-len(rows) // _MOST_DOTS) or 1
    shown = rows.take(np.arange(0, len(rows), step))
    spread, mean, correct = (shown[name].to_numpy() for name in ("spread_epochs", "probability", "correct"))
    figure = new_figure()
    figure.set_size_inches(*_INCHES)
    figure.set_layout_engine("constrained", rect=(0, 0.02, 1, 0.88))
    axes = figure.subplots()
    prepare(axes, grid="both")
    # As pixels: an SVG of thousands of dots would take seconds to show.
    scale = Normalize(0, 1)
    axes.scatter(spread, mean, c=correct, cmap=_COLOURS, norm=scale, s=9, alpha=0.6, linewidths=0, rasterized=True)
    axes.set_xlim(0, 0.55)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("spread of the label's probability over epochs (standard deviation)", fontsize=NORMAL)
    axes.set_ylabel("mean probability of the label", fontsize=NORMAL)
    for x, y, words in _REGIONS:
        side = "right" if x > 0.5 else "left"
        axes.text(x, y, words, transform=axes.transAxes, ha=side, va="center", color=FAINT, fontsize=NORMAL)
    bar = figure.colorbar(ScalarMappable(scale, _COLOURS), ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of epochs in which it was right", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    told = f"{len(shown):,} of {len(rows):,} images" if step > 1 else f"{len(rows):,} images"
    facts = table.facts
    under = f"{told} · {facts.executions} executions · {facts.epochs} recorded epochs"
    figure.text(0.02, 0.965, "Data map", fontsize=11.5, fontweight="bold", color=INK, va="top")
    heading = figure.text(0.02, 0.925, f"{dataset} · {under}", fontsize=SMALL, color=FAINT, va="top")
    heading.set_parse_math(False)  # a dollar sign in a name is no formula
    hard = float((mean < 0.5).mean()) if len(mean) else 0.0
    description = f"{dataset}: {under}. The label's mean probability is below one half for {100 * hard:.1f} % of them."
    return write(figure, format, title="Data map", description=description)
