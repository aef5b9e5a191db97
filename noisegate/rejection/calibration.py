"""Thresholds and the temperature that a holdout gives, or cross-validation. Higher score = more unknown."""

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from noisegate.manifest import Calibration, CalibrationSource

_LEVELS = 1001
# Logarithms of the temperatures that are tried: 0.05 … 20. A network that needs more has learnt nothing.
_TEMPERATURES = (np.log(0.05), np.log(20.0))


def calibrate(
    scores: Float[np.ndarray, " n"],
    is_noise: Bool[np.ndarray, " n"],
    temperature: float,
    source: CalibrationSource = "holdout",
) -> Calibration:
    """The holdout's reject scores as 1,001 quantiles, as `Calibration` defines them, with its temperature.

    Args:
        scores: reject scores of the holdout, 0 … 1.
        is_noise: which of its images have noise as the most probable class. The rule rejects them whatever their score, so they
            count as more unknown than any threshold.
        source: where the scores come from.
    """
    # What no score exceeds: where all are called noise, nothing else is left to reject.
    largest = float(scores[~is_noise].max()) if not is_noise.all() else 1.0
    quantiles = np.minimum(quantiles_of(np.where(is_noise, np.inf, scores)), largest)
    return Calibration(
        samples=scores.size,
        quantiles=quantiles.tolist(),
        temperature=temperature,
        called_noise=int(is_noise.sum()),
        source=source,
    )


def quantiles_of(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " levels"]:
    """1,001 quantiles of a holdout's scores, of which higher ones mean more unknown.

    Each is one of the scores, never a value between two: the ⌈level · n⌉-th smallest. At most a share 1 − level of the
    holdout then lies above it, however few images there are.
    """
    assert scores.size > 0
    rising = np.sort(scores)
    # In whole numbers: 0.7 · 10 is 7.000000000000001 to a float, and its ceiling 8.
    ranks = [max(1, -(-level * scores.size // (_LEVELS - 1))) for level in range(_LEVELS)]
    quantiles: Float[np.ndarray, " levels"] = rising[np.array(ranks) - 1]
    return quantiles


def fit_temperature(logits: Float[np.ndarray, "n outputs"], labels: Int64[np.ndarray, " n"]) -> float:
    """The temperature that makes softmax(logits / temperature) likeliest to be right of the holdout (Guo et al. 2017).

    Above 1 the network was too sure of itself. One number over all outputs, noise included: which class is the most
    probable never changes. Between 0.05 and 20.
    """
    rows = logits.astype(np.float64)
    chosen = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(rows / np.exp(log_temperature), axis=1)[chosen, labels].mean())

    # Convex in 1 / temperature, so it has one minimum in the logarithm too.
    return float(np.exp(minimize_scalar(loss, bounds=_TEMPERATURES, method="bounded").x))
