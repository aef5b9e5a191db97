"""Reject scores, and the thresholds that a holdout gives them. Higher score = more unknown."""

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float

from noisegate.manifest import Calibration

DEFAULT_MAX_FALSE_REJECT = 0.05
_LEVELS = 1001


def reject_scores(probabilities: Float[np.ndarray, "n outputs"], known_classes: int) -> Float[np.ndarray, " n"]:
    """1 − the largest known-class probability, in 0 … 1: noise and doubt both raise it."""
    scores: Float[np.ndarray, " n"] = 1 - probabilities[:, :known_classes].max(axis=1)
    return scores


def calibrate(scores: Float[np.ndarray, " n"]) -> Calibration:
    """The holdout's reject scores as 1,001 quantiles, as `Calibration` defines them.

    Each is one of the scores, never a value between two: the ⌈level · n⌉-th smallest. At most a share 1 − level of the
    holdout then lies above it, however few images there are.
    """
    assert scores.size > 0
    rising = np.sort(scores)
    # In whole numbers: 0.7 · 10 is 7.000000000000001 to a float, and its ceiling 8.
    ranks = [max(1, -(-level * scores.size // (_LEVELS - 1))) for level in range(_LEVELS)]
    return Calibration(samples=scores.size, quantiles=[float(rising[rank - 1]) for rank in ranks])


def threshold(calibration: Calibration, max_false_reject: float) -> float:
    """The smallest stored threshold that rejects at most this share of the holdout; reject what scores above it.

    Args:
        max_false_reject: a share in 0 … 1; it takes effect in steps of 1 / 1,000, rounded down.

    Raises:
        ValueError: a share outside 0 … 1.
    """
    if not 0 <= max_false_reject <= 1:
        raise ValueError(f"max_false_reject must lie in 0 … 1, not {max_false_reject}")
    last = len(calibration.quantiles) - 1
    # The share as it was written: (1 − 0.05) · 1000 need not be 950 in binary, and a step off is another threshold.
    share = Fraction(repr(float(max_false_reject)))
    return calibration.quantiles[math.ceil((1 - share) * last)]


def rejections(
    probabilities: Float[np.ndarray, "n outputs"], known_classes: int, above: float
) -> Bool[np.ndarray, " n"]:
    """Which images are rejected at the threshold `above`: a higher reject score, or noise as the top class."""
    is_noise = probabilities.argmax(axis=1) >= known_classes
    rejected: Bool[np.ndarray, " n"] = (reject_scores(probabilities, known_classes) > above) | is_noise
    return rejected
