"""Virtual-logit matching (ViM; Wang et al. 2022)."""

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer, TrainingAnswers

# Of the principal subspace, as far as width and training images allow: the paper takes half of the width or so, from all training
# images. Of few images many directions leave no remainder to compare with.
_DIRECTIONS = 64
_LEAST_REMAINDER = 1e-12


class VirtualLogit(Scorer):
    """The virtual logit minus log Σ exp of the known logits: what features have that training images lack, against what is known.

    The virtual logit is the length of the features outside the principal subspace of training features, scaled to be as large on
    average as the largest logit of training images. Unbounded, in the units of logits.
    """

    name = "vim"
    higher_is_known = False
    description = (
        "virtual logit, the length of the features outside the training images' principal subspace, minus log Σ exp of the known "
        "logits, of Wang et al. 2022 (ViM), where the model stores what it takes"
    )
    arrays = ("origin", "directions", "scale")

    @override
    def fit(self, training: TrainingAnswers) -> Fitted:
        """`origin` of the features [width] and `directions` of the subspace [directions, width], float32; `scale` [1].

        The subspace goes through the features nearest to 0 where the last layer has logits of 0. The layer is found from its
        answers, which are affine in the features: as it is where there are more images than features, and as far as these images
        show it where there are fewer. `origin` is the point of the subspace that is nearest to the mean of the features: lengths
        outside the subspace are the same from each of its points, and from this one float32 is enough.
        """
        features, mean = training.features.astype(np.float64), training.features.mean(axis=0, dtype=np.float64)
        zero = _where_logits_are_zero(features, training.logits.astype(np.float64))
        images, width = features.shape
        kept = max(1, min(_DIRECTIONS, width // 2, images // 2))
        directions = np.linalg.svd(features - zero, full_matrices=False)[2][:kept]
        origin = zero + (mean - zero) @ directions.T @ directions
        remainder = _remainders(features, origin, directions).mean()
        scale = max(0.0, training.logits.max(axis=1).mean()) / max(_LEAST_REMAINDER, remainder)
        return {
            "origin": origin.astype(np.float32),
            "directions": directions.astype(np.float32),
            "scale": np.array([scale]),
        }

    @override
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """The score of each image, float64 [n]; raises ValueError if `features` have another width than the fitted ones."""
        virtual = fitted["scale"][0] * _remainders(features, fitted["origin"], fitted["directions"])
        score: Rows = virtual - known.log_sum_exp
        return score


def _where_logits_are_zero(features: Rows, logits: Rows) -> Rows:
    """Of the features that a layer with these answers gives logits of 0, the ones nearest to 0; [width]."""
    mean, mean_logits = features.mean(axis=0), logits.mean(axis=0)
    weights = np.linalg.lstsq(features - mean, logits - mean_logits)[0]
    zero: Rows = (mean @ weights - mean_logits) @ np.linalg.pinv(weights)
    return zero


def _remainders(
    features: npt.NDArray[np.floating], origin: npt.NDArray[np.floating], directions: npt.NDArray[np.floating]
) -> Rows:
    """How long `features` [n, width] are from the origin, outside the subspace of `directions`; float64 [n]."""
    rows = features - origin
    along = rows @ directions.T
    squares = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", along, along)
    lengths: Rows = np.sqrt(np.maximum(0.0, squares)).astype(np.float64)
    return lengths
