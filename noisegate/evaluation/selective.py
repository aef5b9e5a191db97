"""Selective classification of known images: how much is wrong among what is accepted, the least unknown first.

Risk is the share wrong of what is accepted, coverage the share that is accepted. Where images of one score would be parted,
values are expectations over their random order.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from noisegate.evaluation.ranks import RankedCounts, before, rank

_NONE = np.empty(0)


class SelectiveMetrics(NamedTuple):
    """How well unknownness puts wrong answers last; lower is better for all three.

    Attributes:
        aurc: area under the risk-coverage curve, 0 … 1: the mean over k = 1 … n of the risk of the k least unknown images
            (Geifman and El-Yaniv 2017).
        excess_aurc: `aurc` minus that of an order that accepts everything right before anything wrong (E-AURC; Geifman,
            Uziel and El-Yaniv 2019), in its exact form for n images; 0 … 1.
        augrc: area under the generalised risk-coverage curve, 0 … ½: the chance that an image is wrong and no more unknown than
            another one drawn at random, a tie counting half (Traub et al. 2024).
    """

    aurc: float
    excess_aurc: float
    augrc: float


class OperatingPoint(NamedTuple):
    """What a threshold does to known images.

    Attributes:
        coverage: share accepted, 0 … 1.
        risk: share wrong of those; None where none is accepted.
    """

    coverage: float
    risk: float | None


def selective_metrics(scores: Float[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"]) -> SelectiveMetrics:
    """The areas for known images with this unknownness.

    Raises:
        ValueError: there is no image, or a score is not a number.
    """
    counts = rank(scores, wrong, _NONE).counts()
    return SelectiveMetrics(float(aurc(counts)), float(excess_aurc(counts)), float(augrc(counts)))


def operating_point(scores: Float[np.ndarray, " n"], wrong: Bool[np.ndarray, " n"], threshold: float) -> OperatingPoint:
    """Coverage and risk where unknownness above `threshold` is rejected, as the decision rule does; at least one image."""
    accepted = scores <= threshold
    risk = float(wrong[accepted].mean()) if accepted.any() else None
    return OperatingPoint(float(accepted.mean()), risk)


def aurc(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    """As `SelectiveMetrics.aurc`."""
    harmonic = _harmonic(counts)
    accepted = before(counts.known)
    # Within a group errors come evenly. Of the group's k-th images, each is (errors before + rate · place in the group) / k.
    rate = counts.wrong / np.maximum(counts.known, 1)
    spread = harmonic[accepted + counts.known] - harmonic[accepted]
    areas = counts.wrong + (before(counts.wrong) - accepted * rate) * spread
    return np.asarray(areas.sum(axis=-1) / _images(counts))


def excess_aurc(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    """As `SelectiveMetrics.excess_aurc`."""
    harmonic, images, wrong = _harmonic(counts), _images(counts), counts.wrong.sum(axis=-1)
    right = images - wrong
    ideal = (wrong - right * (harmonic[images] - harmonic[right])) / images
    # Of an ideal order the two differ by rounding alone.
    return np.asarray(np.maximum(0.0, aurc(counts) - ideal))


def augrc(counts: RankedCounts) -> Float64[np.ndarray, "*resamples"]:
    """As `SelectiveMetrics.augrc`."""
    twice = (counts.known * (2 * before(counts.wrong) + counts.wrong)).sum(axis=-1)
    return np.asarray(twice / (2 * _images(counts) ** 2))


def _images(counts: RankedCounts) -> Int64[np.ndarray, "*resamples"]:
    return np.asarray(counts.known.sum(axis=-1))


def _harmonic(counts: RankedCounts) -> Float64[np.ndarray, " upto"]:
    """1 + ½ + … + 1/k, for k = 0 … n."""
    most = int(_images(counts).max())
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, most + 1))])
