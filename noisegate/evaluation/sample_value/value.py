"""The one ranking: how well an image's label agrees with what the executions learnt (docs/sample-value.md)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

# What is surer than this counts as this: records are float16, and no witness alone should outvote all others.
_LEAST = 1e-4


def value_of(
    learnt: Float[np.ndarray, " n"], witnesses: Sequence[Float[np.ndarray, " n"]] = ()
) -> Float[np.ndarray, " n"]:
    """The label's probability by the mean of the log odds that training and all witnesses give it, 0 … 1.

    Odds of independent witnesses multiply. These are not independent, so the mean is no probability to be relied on; but a witness
    that is undecided moves it little and one that is sure moves it much, as a mean of ranks would not have it.

    Args:
        learnt: the label's probability while the image was trained on. NaN of images that never were; they have no value.
        witnesses: its probability by what was not trained on the label; NaN where they say nothing.
    """
    odds = np.stack([logit(np.clip(one, _LEAST, 1 - _LEAST)) for one in (learnt, *witnesses)])
    said = ~np.isnan(odds)
    total = np.where(said, odds, 0).sum(axis=0)
    value: np.ndarray = expit(total / np.maximum(1, said.sum(axis=0)))
    return np.where(np.isnan(learnt), np.nan, value)
