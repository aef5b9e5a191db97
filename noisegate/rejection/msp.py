"""Maximum softmax probability (Hendrycks and Gimpel 2017)."""

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer


class MaximumSoftmaxProbability(Scorer):
    """The largest probability of the softmax over the known classes; 1/K … 1."""

    name = "msp"
    higher_is_known = True
    reason = "unsure"
    description = "maximum softmax probability over the known classes"

    @override
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """The largest probability of each row, float64 [n]."""
        largest: Rows = known.probabilities.max(axis=1)
        return largest
