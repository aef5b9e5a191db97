"""Maximum logit (Hendrycks et al. 2022)."""

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer


class MaximumLogit(Scorer):
    """The largest known logit; unbounded."""

    name = "max_logit"
    higher_is_known = True
    description = "the largest known logit"

    @override
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """The largest logit of each row, float64 [n]."""
        return known.largest
