"""Reject scores, and the thresholds that a holdout gives them. Higher score = more unknown."""

import numpy as np
from jaxtyping import Bool, Float

from noisegate.manifest import Calibration

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


def rejections(
    probabilities: Float[np.ndarray, "n outputs"], known_classes: int, above: float
) -> Bool[np.ndarray, " n"]:
    """Which images are rejected at the threshold `above`: a higher reject score, or noise as the top class."""
    is_noise = probabilities.argmax(axis=1) >= known_classes
    rejected: Bool[np.ndarray, " n"] = (reject_scores(probabilities, known_classes) > above) | is_noise
    return rejected
