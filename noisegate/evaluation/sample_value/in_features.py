"""What the other images say of an image's label, by a network's features: its nearest neighbours, and a layer fitted without it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from noisegate.evaluation.sample_value.left_out import left_out_probabilities
from noisegate.evaluation.sample_value.neighbours import Neighbours, find_neighbours, probability_by_agreement


@dataclass(frozen=True)
class InFeatures:
    """Of n images; their own labels have no say in it.

    Attributes:
        left_out: the probability of the label by a linear layer that was fitted to all other images.
        by_neighbours: likewise, by the neighbours that have the label.
    """

    neighbours: Neighbours
    left_out: Float[np.ndarray, " n"]
    by_neighbours: Float[np.ndarray, " n"]


def look_around(
    features: Float[np.ndarray, "n width"], labels: Int64[np.ndarray, " n"], check: Callable[[], None] = lambda: None
) -> InFeatures:
    """What the features say of each image; `check` is called between parts, and whatever it raises passes through."""
    neighbours = find_neighbours(features, labels, check)
    left_out = left_out_probabilities(features, labels, check)
    return InFeatures(neighbours, left_out, probability_by_agreement(neighbours.agreement, len(np.unique(labels))))
