"""How well probabilities predict the share that is right, and the curve of risk over coverage."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from noisegate.api.card import Reliability, ReliabilityBin, RiskCoverage, RiskPoint
from noisegate.evaluation.ranks import rank
from noisegate.evaluation.selective import aurc

_BINS = 15
_CURVE_STEPS = 100


def reliability(probabilities: Float[np.ndarray, "n outputs"], labels: Int64[np.ndarray, " n"]) -> Reliability:
    """Expected calibration error of the top output, and its 15 bins of equal width (Guo et al. 2017).

    Args:
        probabilities: over all outputs.
        labels: true classes; an image called noise is wrong.
    """
    top = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    # Bins include their upper end, so that a probability of 1 has one.
    places = np.digitize(top, np.arange(1, _BINS) / _BINS, right=True)
    counts = np.bincount(places, minlength=_BINS)
    confidences = np.bincount(places, top, _BINS)
    hits = np.bincount(places, correct, _BINS)
    return Reliability(
        error=float(np.abs(confidences - hits).sum() / len(labels)),
        bins=[
            ReliabilityBin(
                count=int(count),
                confidence=float(confidence / count) if count else None,
                accuracy=float(hit / count) if count else None,
            )
            for count, confidence, hit in zip(counts, confidences, hits, strict=True)
        ],
    )


def risk_coverage(scores: Float[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"]) -> RiskCoverage:
    """The curve and its area, as `RiskCoverage` defines them, for images accepted by rising reject score."""
    counts = rank(scores, wrong, np.empty(0)).counts()
    accepted, errors = np.cumsum(counts.known), np.cumsum(counts.wrong)
    # Whole numbers: a share such as 0.07 · 100 is more than 7 to a float.
    least = np.maximum(1, -(-np.arange(_CURVE_STEPS + 1) * len(scores) // _CURVE_STEPS))
    reached = np.unique(np.searchsorted(accepted, least))
    return RiskCoverage(
        aurc=float(aurc(counts)),
        curve=[
            RiskPoint(coverage=float(accepted[at] / len(scores)), risk=float(errors[at] / accepted[at]))
            for at in reached
        ],
    )
