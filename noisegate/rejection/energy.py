"""Energy (Liu et al. 2020)."""

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer


class Energy(Scorer):
    """log Σ exp(known logits), the negative of the literature's free energy; unbounded."""

    name = "energy"
    higher_is_known = True
    description = "log Σ exp of the known logits"

    @override
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """log Σ exp of each row, float64 [n]."""
        return known.log_sum_exp
