"""Energy (Liu et al. 2020)."""

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer


class Energy(Scorer):
    """−E(x) = log Σ exp(known logits): the energy E of Liu et al. (2020, temperature 1) with its sign turned; unbounded.

    They, too, compare the negative energy with a threshold, so that known images score higher. Tools that print E itself have
    the other sign; stored thresholds and files are of this one.
    """

    name = "energy"
    higher_is_known = True
    description = "negative energy −E(x) = log Σ exp of the known logits, of Liu et al. 2020 at temperature 1"

    @override
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """log Σ exp of each row, float64 [n]."""
        return known.log_sum_exp
