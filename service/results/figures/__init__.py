"""Figures of a results table, from Results to SVG or PNG. Matplotlib's object API only, never pyplot: routes run in threads.

A kind of experiment has the figures of its entry in `KIND_FIGURES`; one without has a general figure of all that it measures.
"""

from service.results.figures.entry import KindFigures, from_results, one_figure
from service.results.figures.kinds import draw_curves, draw_hybrids, draw_maps
from service.results.figures.open_set import OPEN_SET
from service.results.figures.rows import draw_measures, draw_metrics
from service.results.figures.training import draw_accuracy, draw_preset

KIND_FIGURES: dict[str, KindFigures] = {
    "training": KindFigures(
        own={
            "accuracy": ("Test accuracy", from_results(draw_accuracy)),
            "metrics": ("All metrics", from_results(draw_metrics)),
        },
        preset=from_results(draw_preset),
        keeps_own=True,
    ),
    "hybrids": one_figure("hybrids", "What hybrid images are taken for", from_results(draw_hybrids)),
    "open_set": OPEN_SET,
    "curve_fitting": one_figure("curves", "Fitted curves", draw_curves, needs_data=True),
    "decision_map": one_figure("decision-map", "Decision regions", draw_maps, needs_data=True),
    "pretrained": KindFigures(own={}, preset=from_results(draw_metrics)),
}

# Of a kind without an entry.
GENERAL = one_figure("measures", "All measures", from_results(draw_measures))
