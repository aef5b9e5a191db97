"""The one ranking: how well an image's label agrees with what the executions learnt (docs/sample-value.md)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata


def value_of(
    evidence: Sequence[Float[np.ndarray, " n"]], agreement: Float[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " n"]:
    """The mean over the evidence of each image's rank in it, 0 (lowest of all) … 1; NaN of images of which nothing is known.

    Ranks, as probabilities, margins and qualities have scales of their own.

    Args:
        evidence: of training; the higher, the better the label fits; NaN where it says nothing.
        agreement: of the image's neighbours, which weighs as much as all that training says; None where it is not known. Alone it
            gives no value.
    """
    learnt = _mean_rank(evidence)
    if agreement is None:
        return learnt
    return _mean_rank([learnt, np.where(np.isnan(learnt), np.nan, agreement)])


def _mean_rank(evidence: Sequence[Float[np.ndarray, " n"]]) -> Float[np.ndarray, " n"]:
    ranks = np.stack([_shares(one) for one in evidence])
    known = ~np.isnan(ranks)
    total = np.where(known, ranks, 0).sum(axis=0)
    count = known.sum(axis=0)
    value: np.ndarray = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return value


def _shares(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    known = ~np.isnan(values)
    shares = np.full(len(values), np.nan)
    count = int(known.sum())
    if count:
        shares[known] = (rankdata(values[known]) - 1) / max(1, count - 1)
    return shares
