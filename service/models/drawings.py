"""The two figures of a model's card, each as a data: URI of an SVG document."""

import base64
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from noisegate.api.card import CalibrationError, ReliabilityBin, RiskCoverage
from service.results.figures.files import write
from service.results.figures.style import FAINT, LOOKS, NORMAL, SMALL, prepare

_INCHES = (4.4, 3.3)


def risk_coverage_uri(found: RiskCoverage) -> str:
    """Risk against coverage: what is wrong among what is accepted, as more and more is."""
    figure, axes = _axes("accepted share of the test images, %", "wrong among the accepted, %")
    look = LOOKS[0]
    coverage = [100 * point.coverage for point in found.curve]
    risk = [100 * point.risk for point in found.curve]
    axes.plot(coverage, risk, color=look.colour, linewidth=1.6)
    axes.fill_between(coverage, risk, color=look.colour, alpha=0.12, linewidth=0)
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    described = f"Risk {found.curve[-1].risk:.1%} at full coverage; area under the curve {found.aurc:.4f}."
    return _uri(figure, "Risk and coverage", described)


def reliability_uri(found: CalibrationError) -> str:
    """Accuracy against confidence, before and after temperature scaling."""
    figure, axes = _axes("mean probability of the top class, %", "share of them right, %")
    axes.plot([0, 100], [0, 100], color=FAINT, linewidth=0.9, linestyle=(0, (2, 2)), label="perfectly calibrated")
    _bins(axes, found.before.bins, f"as trained: error {found.before.error:.1%}", 1)
    described = f"Expected calibration error {found.before.error:.4f} as trained."
    if found.after:
        _bins(axes, found.after.bins, f"temperature scaled: error {found.after.error:.1%}", 0)
        described += f" {found.after.error:.4f} after temperature scaling."
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.legend(fontsize=SMALL, frameon=False, loc="upper left")
    return _uri(figure, "Reliability", described)


def _axes(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_INCHES, layout="constrained", facecolor="white")
    axes = figure.subplots()
    prepare(axes, grid="both")
    axes.set_xlabel(x_label, fontsize=NORMAL)
    axes.set_ylabel(y_label, fontsize=NORMAL)
    return figure, axes


def _bins(axes: Axes, bins: Sequence[ReliabilityBin], label: str, look: int) -> None:
    filled = [one for one in bins if one.confidence is not None and one.accuracy is not None]
    axes.plot(
        [100 * (one.confidence or 0) for one in filled],
        [100 * (one.accuracy or 0) for one in filled],
        color=LOOKS[look].colour,
        marker=LOOKS[look].marker,
        linestyle=LOOKS[look].dashes,
        markersize=4.5,
        linewidth=1.3,
        label=label,
    )


def _uri(figure: Figure, title: str, description: str) -> str:
    # As an image with a document of its own: the ids of two drawings within one page would be mixed up.
    document = write(figure, "svg", title=title, description=description)
    return f"data:image/svg+xml;base64,{base64.b64encode(document).decode()}"
