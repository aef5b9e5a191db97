"""Distance to the k-th nearest training image in feature space (Sun et al. 2022)."""

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer, TrainingAnswers

_NEIGHBOURS = 5


class NearestNeighbour(Scorer):
    """Distance between directions in feature space: from an image to its 5th nearest of the training images; 0 … 2."""

    name = "knn"
    higher_is_known = False
    description = "distance in feature space to the 5th nearest training image, where the model stores some"
    arrays = ("features", "neighbours")

    @override
    def fit(self, training: TrainingAnswers) -> Fitted:
        """`features` of the training images at length 1, float32 [m, width], and the number of `neighbours`, int64 [1]."""
        return {"features": unit_rows(training.features), "neighbours": np.array([_NEIGHBOURS], dtype=np.int64)}

    @override
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """The distance of each image, float64 [n]; raises ValueError if `features` have another width than the fitted ones."""
        return knn_distances(features, fitted["features"], int(fitted["neighbours"][0]))

    @override
    def file_key(self, array: str) -> str:
        """The bare name: files had these two before scores had a place of their own."""
        return array


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
