"""How well scores order images, and how well probabilities predict the share that is right."""

import numpy as np
from jaxtyping import Bool, Float, Int64
from sklearn.metrics import roc_auc_score

from noisegate.api.card import Reliability, ReliabilityBin, RiskCoverage, RiskPoint

_BINS = 15
_CURVE_STEPS = 100


def auroc(known: Float[np.ndarray, " known"], unknown: Float[np.ndarray, " unknown"]) -> float:
    """The chance that a random unknown image scores above a random known one, a tie counting half; 0 … 1.

    Args:
        known, unknown: finite scores, of which higher ones mean more unknown; at least one each.
    """
    truth = np.repeat([0, 1], [len(known), len(unknown)])
    return float(roc_auc_score(truth, np.concatenate([known, unknown])))


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
    order = np.argsort(scores)
    rising = scores[order]
    # Where each group of equal scores ends.
    accepted = np.append(np.flatnonzero(np.diff(rising)) + 1, len(rising))
    errors = np.cumsum(wrong[order])[accepted - 1]
    every = np.arange(1, len(scores) + 1)
    # Within a group errors come evenly on the average over its orders.
    expected = np.interp(every, np.append(0, accepted), np.append(0, errors))
    # Whole numbers: a share such as 0.07 · 100 is more than 7 to a float.
    least = np.maximum(1, -(-np.arange(_CURVE_STEPS + 1) * len(scores) // _CURVE_STEPS))
    reached = np.unique(np.searchsorted(accepted, least))
    return RiskCoverage(
        aurc=float((expected / every).mean()),
        curve=[
            RiskPoint(coverage=float(accepted[at] / len(scores)), risk=float(errors[at] / accepted[at]))
            for at in reached
        ],
    )
