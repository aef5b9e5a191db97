"""Figures of a results table, from Results to SVG or PNG. Matplotlib's object API only, never pyplot: routes run in threads.

A kind of experiment has the figures of its entry in `KIND_FIGURES`; one without has a general figure of all that it measures.
"""

from noisegate.later import later
from service.results.figures.entry import KindFigures, from_results, one_figure

# The titles of figures are asked for more often than the figures, and drawing takes matplotlib.
draw_curves = later("service.results.figures.kinds:draw_curves")
draw_hybrids = later("service.results.figures.kinds:draw_hybrids")
draw_maps = later("service.results.figures.kinds:draw_maps")
draw_roc = later("service.results.figures.open_set:draw_roc")
draw_oscr = later("service.results.figures.open_set:draw_oscr")
draw_risk = later("service.results.figures.open_set:draw_risk")
draw_histograms = later("service.results.figures.open_set:draw_histograms")
draw_measures = later("service.results.figures.rows:draw_measures")
draw_metrics = later("service.results.figures.rows:draw_metrics")
draw_accuracy = later("service.results.figures.training:draw_accuracy")
draw_preset = later("service.results.figures.training:draw_preset")

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
    "open_set": KindFigures(
        own={
            "roc": ("Unknown images rejected over known images rejected", draw_roc),
            "oscr": ("Correct classification over unknown images accepted", draw_oscr),
            "risk-coverage": ("Risk over coverage of known images", draw_risk),
            "scores": ("The deciding score of known and unknown images", draw_histograms),
        },
        preset=draw_roc,
        keeps_own=True,
        needs_samples=True,
    ),
    "curve_fitting": one_figure("curves", "Fitted curves", draw_curves, needs_data=True),
    "decision_map": one_figure("decision-map", "Decision regions", draw_maps, needs_data=True),
    "pretrained": KindFigures(own={}, preset=from_results(draw_metrics)),
}

# Of a kind without an entry.
GENERAL = one_figure("measures", "All measures", from_results(draw_measures))
