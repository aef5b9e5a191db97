"""Metrics of open-set recognition, from how unknown a score finds known and unknown images. NumPy alone, float64.

Higher unknownness means more unknown, and images of one score are accepted or rejected together: constant scores have an AUROC
of ½, and no order of the images changes anything.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Float64, Int64

from noisegate.evaluation import selective
from noisegate.evaluation.ranks import RankedCounts, RankedImages, at, before, rank

# 95 % as a fraction: whole numbers decide what reaches it.
_PART, _WHOLE = 19, 20


@dataclass(frozen=True)
class OpenSetMetrics:
    """What one score makes of known and unknown images; shares and areas, all in 0 … 1.

    Attributes:
        accuracy: share of known images whose predicted known class is their label, rejected or not; higher is better.
        auroc: the chance that a random unknown image scores above a random known one, a tie counting half; higher is better.
        aupr_unknown: average precision with unknown images as the positive class, found by high unknownness: the mean over
            unknown images of the share of unknown ones among all that score as high or higher; higher is better. It depends on
            the proportion of unknown images.
        aupr_known: the same with known images as the positive class, found by low unknownness; higher is better.
        known_rejected_at_95_unknown_rejected: the share of known images rejected at the highest threshold that rejects at
            least 95 % of the unknown ones; lower is better. "FPR95" in OpenOOD, pytorch-ood and Hendrycks et al. 2019.
        unknown_accepted_at_95_known_accepted: the share of unknown images accepted at the lowest threshold that accepts at
            least 95 % of the known ones; lower is better. "FPR95" of Liang et al. 2018 (ODIN) and of much that follows them.
        detection_error: the least, over thresholds, of the mean of two shares: known images rejected and unknown ones
            accepted (1 − the detection accuracy of Lee et al. 2018); 0 … ½, lower is better.
        oscr: area under the correct classification rate (known images accepted and classified right, of all known ones)
            over the share of unknown images accepted, over all thresholds (Dhamija et al. 2018); at most `accuracy`, higher is
            better.
        aurc, excess_aurc, augrc: of the known images alone, as `noisegate.evaluation.selective` defines them; lower is better.
    """

    accuracy: float
    auroc: float
    aupr_unknown: float
    aupr_known: float
    known_rejected_at_95_unknown_rejected: float
    unknown_accepted_at_95_known_accepted: float
    detection_error: float
    oscr: float
    aurc: float
    excess_aurc: float
    augrc: float


def open_set_metrics(
    known: Float[np.ndarray, " known"], unknown: Float[np.ndarray, " unknown"], correct: Bool[np.ndarray, " known"]
) -> OpenSetMetrics:
    """All metrics of one score.

    Args:
        known, unknown: unknownness, higher = more unknown; at least one each. Infinities and ties are allowed.
        correct: which known images have their label as predicted known class, rejected or not.

    Raises:
        ValueError: there is no known or no unknown image, or a score is not a number.
    """
    counts = rank_images(known, unknown, correct).counts()
    return OpenSetMetrics(**{name: float(measure(counts)) for name, measure in MEASURES.items()})


def rank_images(
    known: Float[np.ndarray, " known"], unknown: Float[np.ndarray, " unknown"], correct: Bool[np.ndarray, " known"]
) -> RankedImages:
    """The images in the order of their unknownness; arguments and errors are those of `open_set_metrics`."""
    if not unknown.size:
        raise ValueError("there is no unknown image")
    return rank(known, ~correct, unknown)


def auroc(known: Float[np.ndarray, " known"], unknown: Float[np.ndarray, " unknown"]) -> float:
    """`OpenSetMetrics.auroc` alone; raises ValueError as `open_set_metrics` does."""
    return float(_auroc(rank_images(known, unknown, np.ones(len(known), dtype=np.bool_)).counts()))


def _accuracy(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    return _of_all((counts.known - counts.wrong).sum(axis=-1), counts.known)


def _auroc(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    return _share_of_pairs(counts.known, counts)


def _oscr(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    # The trapezoids' area is the share of pairs where a known image is right and less unknown than the unknown one.
    return _share_of_pairs(counts.known - counts.wrong, counts)


def _share_of_pairs(
    chosen: Int64[np.ndarray, "*resamples scores"], counts: RankedCounts
) -> Float64[np.ndarray, "*resamples"]:
    """Of all pairs of a known and an unknown image, those whose known one is among `chosen` and scores lower; a tie counts half."""
    twice = (counts.unknown * (2 * before(chosen) + chosen)).sum(axis=-1)
    return np.asarray(twice / (2 * counts.known.sum(axis=-1) * counts.unknown.sum(axis=-1)))


def _aupr_known(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    return _average_precision(counts.known, counts.unknown)


def _aupr_unknown(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    return _average_precision(counts.unknown[..., ::-1], counts.known[..., ::-1])


def _average_precision(
    positive: Int64[np.ndarray, "*resamples scores"], negative: Int64[np.ndarray, "*resamples scores"]
) -> Float64[np.ndarray, "*resamples"]:
    """Where the scores that come first are taken for positive."""
    found = positive.cumsum(axis=-1)
    # In a resample the first scores may have no image: then nothing is found, and nothing is counted.
    precision = found / np.maximum(1, found + negative.cumsum(axis=-1))
    return _of_all((positive * precision).sum(axis=-1), positive)


def _known_rejected_at_95(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    accepted = before(counts.unknown)
    # The highest score below which at most 5 % of the unknown images lie is the lowest that is rejected.
    least = (_WHOLE * accepted <= (_WHOLE - _PART) * _total(counts.unknown)).sum(axis=-1) - 1
    return _of_all(counts.known.sum(axis=-1) - at(before(counts.known), least), counts.known)


def _unknown_accepted_at_95(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    accepted = counts.known.cumsum(axis=-1)
    most = (_WHOLE * accepted < _PART * _total(counts.known)).sum(axis=-1)
    return _of_all(at(counts.unknown.cumsum(axis=-1), most), counts.unknown)


def _detection_error(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    # Thresholds at each of the scores. One below all rejects everything, which is as wrong as accepting everything: ½.
    rejected = _total(counts.known) - counts.known.cumsum(axis=-1)
    accepted = counts.unknown.cumsum(axis=-1)
    errors = rejected / _total(counts.known) + accepted / _total(counts.unknown)
    return np.asarray(errors.min(axis=-1) / 2)


def _total(counts: Int64[np.ndarray, "*resamples scores"]) -> Int64[np.ndarray, "*resamples 1"]:
    return np.asarray(counts.sum(axis=-1, keepdims=True))


def _of_all(
    part: npt.NDArray[np.int64 | np.float64], counts: Int64[np.ndarray, "*resamples scores"]
) -> Float64[np.ndarray, "*resamples"]:
    return np.asarray(part / counts.sum(axis=-1))


# By the names of `OpenSetMetrics`, in its order.
MEASURES: dict[str, Callable[[RankedCounts], Float64[np.ndarray, "*resamples"]]] = {
    "accuracy": _accuracy,
    "auroc": _auroc,
    "aupr_unknown": _aupr_unknown,
    "aupr_known": _aupr_known,
    "known_rejected_at_95_unknown_rejected": _known_rejected_at_95,
    "unknown_accepted_at_95_known_accepted": _unknown_accepted_at_95,
    "detection_error": _detection_error,
    "oscr": _oscr,
    "aurc": selective.aurc,
    "excess_aurc": selective.excess_aurc,
    "augrc": selective.augrc,
}
