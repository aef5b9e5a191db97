"""Which labels are probably wrong, by cleanlab, and which class would fit better."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from jaxtyping import Bool, Float, Int64

Basis = Literal["out_of_sample", "in_sample"]


@dataclass(frozen=True)
class LabelIssues:
    """Of n images. Where nothing is known of an image, there is no issue, its quality is NaN and `suggested` its label.

    Attributes:
        basis: whether the probabilities are by executions that were not trained on the image, or by its own training; None if
            neither was recorded.
        quality: the probability of the label, 0 … 1; `confidence` is that of the suggested class.
    """

    basis: Basis | None
    issue: Bool[np.ndarray, " n"]
    quality: Float[np.ndarray, " n"]
    suggested: Int64[np.ndarray, " n"]
    confidence: Float[np.ndarray, " n"]


def label_issues(
    labels: Int64[np.ndarray, " n"], held: Float[np.ndarray, "n classes"], shown: Float[np.ndarray, "n classes"]
) -> LabelIssues:
    """By out-of-sample probabilities if every image that was trained on has them, else by in-sample ones.

    Args:
        held, shown: mean probabilities as of `Aggregated`; rows of NaN where there are none.
    """
    has_held, has_shown = (~np.isnan(one).any(axis=1) for one in (held, shown))
    if has_held.any() and (has_held | ~has_shown).all():
        return _by("out_of_sample", labels, held, has_held)
    if has_shown.any():
        return _by("in_sample", labels, shown, has_shown)
    return _by(None, labels, held, np.zeros(len(labels), np.bool_))


def _by(basis: Basis | None, labels: np.ndarray, probabilities: np.ndarray, known: np.ndarray) -> LabelIssues:
    issue, suggested = np.zeros(len(labels), np.bool_), labels.copy()
    quality, confidence = np.full((2, len(labels)), np.nan)
    if known.any() and probabilities.shape[1] > 1:
        given, shares = labels[known], probabilities[known]
        issue[known] = find_label_issues(given, shares, n_jobs=1, verbose=False)
        quality[known] = get_label_quality_scores(given, shares)
        suggested[known], confidence[known] = shares.argmax(axis=1), shares.max(axis=1)
    return LabelIssues(basis, issue, quality, suggested, confidence)
