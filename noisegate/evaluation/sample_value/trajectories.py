"""What the epochs of one execution say of each image: its place on the data map, forgetting, margin and early error.

An image that was not shown in an epoch is passed over there; one that never was has NaN and no events.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from noisegate.evaluation.sample_value.records import ExecutionRecord

# Of noise images: below the margin that 99 % of them exceed, an image is learnt like one that has no class (Pleiss et al., 2020).
_NOISE_SHARE = 0.99


@dataclass(frozen=True)
class Trajectories:
    """One execution's measures of the images that it was trained on, each once.

    Attributes:
        rows: their places among the dataset's training images.
        mean, spread: of the label's probability over the epochs: confidence and variability of a data map (Swayamdipta et al.,
            2020).
        correct: the share of epochs in which it was classified correctly.
        forgotten: how often it was classified correctly in one epoch and wrongly in the next (Toneva et al., 2019).
        learnt: whether it was ever classified correctly.
        aum: the mean margin over the epochs (Pleiss et al., 2020).
        el2n: the error norm early in training (Paul et al., 2021).
        noise_margin: the mean margin that 1 % of the noise images exceed; None without noise images.
    """

    rows: Int64[np.ndarray, " known"]
    mean: Float[np.ndarray, " known"]
    spread: Float[np.ndarray, " known"]
    correct: Float[np.ndarray, " known"]
    forgotten: Int64[np.ndarray, " known"]
    learnt: Bool[np.ndarray, " known"]
    aum: Float[np.ndarray, " known"]
    el2n: Float[np.ndarray, " known"]
    noise_margin: float | None


def trajectories(record: ExecutionRecord) -> Trajectories:
    """The measures of a record; of an image that was drawn several times, those of its first copy."""
    rows, first = np.unique(record.rows, return_index=True)
    probability = record.probability[:, first].astype(np.float32)
    margin = record.margin[:, first].astype(np.float32)
    noise = record.margin[:, len(record.rows) :].astype(np.float32)
    right = np.where(np.isnan(margin), np.nan, margin > 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice|Degrees of freedom|All-NaN slice", RuntimeWarning)
        return Trajectories(
            rows=rows,
            mean=np.nanmean(probability, axis=0),
            spread=np.nanstd(probability, axis=0),
            correct=np.nanmean(right, axis=0),
            forgotten=_forgotten(right),
            learnt=(right == 1).any(axis=0),
            aum=np.nanmean(margin, axis=0),
            el2n=record.errors[first].astype(np.float32),
            noise_margin=float(np.nanquantile(np.nanmean(noise, axis=0), _NOISE_SHARE)) if noise.size else None,
        )


def _forgotten(right: Float[np.ndarray, "epochs n"]) -> Int64[np.ndarray, " n"]:
    """Falls from right (1) to wrong (0) between epochs in which the image was shown one after the other."""
    events, before = np.zeros(right.shape[1], np.int64), np.zeros(right.shape[1])
    for now in right:
        events += (before == 1) & (now == 0)
        before = np.where(np.isnan(now), before, now)
    return events
