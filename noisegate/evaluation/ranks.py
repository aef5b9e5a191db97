"""Images counted by their distinct scores, in rising order: images of one score enter every metric at once.

Only the order of scores counts, so infinities are scores like others.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from jaxtyping import Bool, Float, Int64


@dataclass(frozen=True, eq=False)
class RankedCounts:
    """How many images have each of the distinct scores, in rising order of unknownness.

    Leading axes, where there are any, are of resamples; a score that no image of a resample has keeps its place, with
    counts of 0.

    Attributes:
        known: of the known images.
        wrong: of the known images whose predicted class is not their label.
        unknown: of the unknown images.
    """

    known: Int64[np.ndarray, "*resamples scores"]
    wrong: Int64[np.ndarray, "*resamples scores"]
    unknown: Int64[np.ndarray, "*resamples scores"]


@dataclass(frozen=True, eq=False)
class RankedImages:
    """Images by the rank of their score among the distinct scores, 0 … `distinct` − 1.

    Attributes:
        known: twice the rank of each known image, and 1 more where it is wrong.
        unknown: the rank of each unknown image.
    """

    known: Int64[np.ndarray, " known"]
    unknown: Int64[np.ndarray, " unknown"]
    distinct: int

    def counts(self) -> RankedCounts:
        """Of all images, each once."""
        return self._counts(self.known, self.unknown)

    def resampled(self, generator: np.random.Generator, resamples: int) -> RankedCounts:
        """Of this number of resamples, one a row: as many known and as many unknown images as there are, drawn with replacement."""
        drawn = [self._counts(_drawn(generator, self.known), _drawn(generator, self.unknown)) for _ in range(resamples)]
        return RankedCounts(
            *(np.stack([getattr(one, name) for one in drawn]) for name in ("known", "wrong", "unknown"))
        )

    def _counts(self, known: Int64[np.ndarray, " known"], unknown: Int64[np.ndarray, " unknown"]) -> RankedCounts:
        right, wrong = np.bincount(known, minlength=2 * self.distinct).reshape(-1, 2).T
        return RankedCounts(right + wrong, wrong, np.bincount(unknown, minlength=self.distinct))


def rank(
    known: Float[np.ndarray, " known"],
    wrong: Bool[np.ndarray, " known"],
    unknown: Float[np.ndarray, " unknown"],
) -> RankedImages:
    """Rank known and unknown images by unknownness; there may be no unknown ones.

    Args:
        known, unknown: unknownness, higher = more unknown. Infinities and ties are allowed.
        wrong: which known images have a predicted class that is not their label.

    Raises:
        ValueError: there is no known image, or a score is not a number.
    """
    if not known.size:
        raise ValueError("there is no known image")
    scores = np.concatenate([known, unknown]).astype(np.float64)
    if missing := int(np.isnan(scores).sum()):
        raise ValueError(f"{missing} of {scores.size} scores are not numbers")
    distinct, places = np.unique(scores, return_inverse=True)
    return RankedImages(2 * places[: known.size] + wrong, places[known.size :], distinct.size)


def before(counts: Int64[np.ndarray, "*resamples scores"]) -> Int64[np.ndarray, "*resamples scores"]:
    """How many have a score below each of the distinct ones."""
    return np.asarray(counts.cumsum(axis=-1) - counts)


def at(values: npt.NDArray[np.int64], places: Int64[np.ndarray, "*resamples"]) -> Int64[np.ndarray, "*resamples"]:
    """Of each row of `values` [..., scores] the one at its place."""
    return np.take_along_axis(values, places[..., np.newaxis], axis=-1)[..., 0]


def _drawn(generator: np.random.Generator, ranks: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    drawn: Int64[np.ndarray, " n"] = ranks[generator.integers(ranks.size, size=ranks.size)]
    return drawn
