"""Entropy of the softmax."""

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer


class Entropy(Scorer):
    """Entropy of the softmax over the known classes, in nats; 0 … ln K."""

    name = "entropy"
    higher_is_known = False
    reason = "unsure"
    description = "entropy of the softmax over the known classes, in nats"

    @override
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """The entropy of each row, float64 [n]."""
        # A probability too small for float64 is 0, and 0 × a finite logarithm is the 0 that the limit demands.
        entropy: Rows = np.maximum(0.0, -(known.probabilities * known.log_probabilities).sum(axis=1))
        return entropy
