"""Scores that tell known from unknown images, from what a network answers. NumPy alone: both learning and inference take them.

All are computed in float64 over the K *known* logits: a noise logit would count as confidence in a known class.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

# MSP: Hendrycks and Gimpel 2017. Max logit: Hendrycks et al. 2022. Energy: Liu et al. 2020. kNN: Sun et al. 2022.
HIGHER_IS_KNOWN: Mapping[str, bool] = {"msp": True, "max_logit": True, "energy": True, "entropy": False, "knn": False}
KNN = "knn"

Rows = npt.NDArray[np.float64]
Columns = dict[str, Rows]


def softmax(logits: npt.NDArray[np.floating]) -> Rows:
    """Probabilities over all outputs of `logits` [n, outputs]; float64 [n, outputs]."""
    rows = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    probabilities: Rows = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


def logit_scores(known: npt.NDArray[np.floating]) -> Columns:
    """MSP, max logit, energy and entropy of `known` logits [n, K], each float64 [n].

    msp: maximum softmax probability, 1/K … 1. max_logit: the largest logit. energy: log Σ exp(logits), the negative of the
    literature's free energy. entropy: of the softmax, in nats, 0 … ln K.
    """
    rows = np.asarray(known, dtype=np.float64)
    largest = rows.max(axis=1)
    energy = largest + np.log(np.exp(rows - largest[:, np.newaxis]).sum(axis=1))
    log_probabilities = rows - energy[:, np.newaxis]
    # exp(−745) and below is 0, and 0 × a finite logarithm is the 0 that the limit demands.
    probabilities = np.exp(log_probabilities)
    entropy = np.maximum(0.0, -(probabilities * log_probabilities).sum(axis=1))
    return {"msp": probabilities.max(axis=1), "max_logit": largest, "energy": energy, "entropy": entropy}


def unit_rows(features: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Each row of `features` [n, width] at length 1, float32; a row of zeros stays."""
    rows = np.asarray(features, dtype=np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, np.newaxis]
    units: npt.NDArray[np.float32] = rows / np.maximum(lengths, np.float32(1e-12))
    return units


def knn_distances(features: npt.NDArray[np.floating], reference: npt.NDArray[np.float32], neighbours: int) -> Rows:
    """The distance from each row of `features` [n, width] to its `neighbours`-th nearest in `reference`; 0 … 2, float64 [n].

    Rows of `reference` [m, width] have length 1, and so have those of `features` when they are compared. With fewer than
    `neighbours` rows it is the distance to the farthest.
    """
    similarities = unit_rows(features) @ reference.T
    place = max(0, reference.shape[0] - neighbours)
    nearest = np.partition(similarities, place, axis=1)[:, place].astype(np.float64)
    distances: Rows = np.sqrt(np.maximum(0.0, 2 - 2 * nearest))
    return distances


def unknownness(name: str, values: Rows) -> Rows:
    """`values` of a score turned so that higher means more unknown."""
    return -values if HIGHER_IS_KNOWN[name] else values
