"""How far metrics would scatter over other test images: resamples of the images of one execution.

Its network stays the same: how far executions scatter is told by the standard error over them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64

from noisegate.evaluation.open_set_metrics import MEASURES, rank_images
from noisegate.evaluation.ranks import RankedImages

_COVERED = (2.5, 97.5)
# Counts of this many scores at a time, over resamples, which take some 100 MB.
_SCORES_AT_A_TIME = 2**20


class Uncertainty(NamedTuple):
    """How a metric scatters over resamples of the images.

    Attributes:
        standard_error: standard deviation over the resamples.
        low, high: ends of the 95 % interval, which are percentiles of the resamples; of an extreme metric, such as an AUROC of
            1, it may lie on one side of the value.
    """

    standard_error: float
    low: float
    high: float


def bootstrap(
    known: Float[np.ndarray, " known"],
    unknown: Float[np.ndarray, " unknown"],
    correct: Bool[np.ndarray, " known"],
    generator: np.random.Generator,
    resamples: int = 200,
) -> dict[str, Uncertainty]:
    """By the names of `OpenSetMetrics`: the scatter of each metric.

    Known and unknown images are drawn with replacement, as many of each as there are (Efron and Tibshirani 1993). The images are
    ranked once, and resamples are counts of the ranks. The same generator state gives the same values.

    Args:
        known, unknown, correct: as for `open_set_metrics`.
        resamples: 2 or more.

    Raises:
        ValueError: as `open_set_metrics`.
    """
    assert resamples > 1
    images = rank_images(known, unknown, correct)
    parts = _measured(images, generator, resamples)
    return {name: _uncertainty(np.concatenate([part[name] for part in parts])) for name in MEASURES}


def _measured(
    images: RankedImages, generator: np.random.Generator, resamples: int
) -> list[dict[str, Float64[np.ndarray, " resamples"]]]:
    parts = []
    at_a_time = max(1, _SCORES_AT_A_TIME // images.distinct)
    for start in range(0, resamples, at_a_time):
        counts = images.resampled(generator, min(at_a_time, resamples - start))
        parts.append({name: measure(counts) for name, measure in MEASURES.items()})
    return parts


def _uncertainty(values: Float64[np.ndarray, " resamples"]) -> Uncertainty:
    low, high = np.percentile(values, _COVERED)
    return Uncertainty(float(values.std(ddof=1)), float(low), float(high))
