"""`reference.safetensors`: what a model remembers of known images, so that it can compare. NumPy alone.

Written by learning, read by inference. Everything but `features` is of the holdout, never of the test set; `features` are
of training images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from noisegate.rejection.scores import HIGHER_IS_KNOWN, KNN, Columns, Rows, knn_distances, logit_scores, unknownness

_QUANTILES = "quantiles."


class DamagedReference(ValueError):
    """Bytes that are no reference, or not that of this model."""


@dataclass(frozen=True)
class Reference:
    """What holdout and training images look like to one model.

    Attributes:
        quantiles: of each score's unknownness over the holdout (see `scores.unknownness`), float64 [levels]; level i is the
            smallest value that at least i / (levels − 1) of the holdout does not exceed.
        nonconformity: 1 − the probability of its own class, of every holdout image; rising within a class, class after
            class, float64 [holdout].
        class_counts: holdout images of each class, int64 [K].
        reject_scores: of every holdout image, rising, float64 [holdout].
        features: of training images, each row of length 1, float32 [m, width].
        neighbours: which nearest neighbour the kNN score measures the distance to.
    """

    quantiles: Mapping[str, Rows]
    nonconformity: Rows
    class_counts: npt.NDArray[np.int64]
    reject_scores: Rows
    features: npt.NDArray[np.float32]
    neighbours: int

    def __post_init__(self) -> None:
        if int(self.class_counts.sum()) != len(self.nonconformity) or set(self.quantiles) != set(HIGHER_IS_KNOWN):
            raise DamagedReference("its parts do not belong together")

    @cached_property
    def _offsets(self) -> Rows:
        # One search for all classes: a class's scores lie in 2c … 2c + 1, so they never mix with another's.
        return 2 * np.arange(len(self.class_counts), dtype=np.float64)

    @cached_property
    def _keys(self) -> Rows:
        keys: Rows = self.nonconformity + np.repeat(self._offsets, self.class_counts)
        return keys

    @cached_property
    def _ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum(self.class_counts)

    @property
    def levels(self) -> int:
        """How many quantiles there are of each score."""
        return len(self.quantiles[KNN])

    @property
    def nbytes(self) -> int:
        """Bytes of memory that its arrays take."""
        quantiles = sum(values.nbytes for values in self.quantiles.values())
        return quantiles + 2 * self.nonconformity.nbytes + self.reject_scores.nbytes + self.features.nbytes

    def scores(self, known: npt.NDArray[np.floating], features: npt.NDArray[np.floating]) -> Columns:
        """All scores of images with these `known` logits [n, K] and `features` [n, width], each float64 [n]."""
        return logit_scores(known) | {KNN: knn_distances(features, self.features, self.neighbours)}

    def thresholds(self, name: str, levels: npt.NDArray[np.int64]) -> Rows:
        """The value of the score `name` beyond which it rejects, at each of these quantile levels [n]."""
        return unknownness(name, self.quantiles[name][levels])

    def p_values(self, probabilities: Rows) -> Rows:
        """For each class, the conformal p-value of the hypothesis that the image is of that class; float64 [n, K], 0 … 1.

        (1 + holdout images of the class that conform no better) / (1 + holdout images of the class): label-conditional
        (Mondrian) conformal prediction, Vovk, Gammerman and Shafer 2005. Of images of that class, at most a share p has a
        p-value of p or less.

        Args:
            probabilities: of the known classes, [n, K].
        """
        below = np.searchsorted(self._keys, (1 - probabilities) + self._offsets, side="left")
        values: Rows = (1 + self._ends - below) / (1 + self.class_counts)
        return values

    def known_p_values(self, reject_scores: Rows) -> Rows:
        """The conformal p-value of the hypothesis that the image is of the known kinds at all, by its reject score; float64 [n].

        Small means "none of these": of known images at most a share p has a p-value of p or less.
        """
        below = np.searchsorted(self.reject_scores, reject_scores, side="left")
        held = len(self.reject_scores)
        values: Rows = (1 + held - below) / (1 + held)
        return values

    def to_bytes(self) -> bytes:
        """As safetensors; the same reference gives the same bytes."""
        arrays = {_QUANTILES + name: np.ascontiguousarray(values) for name, values in self.quantiles.items()}
        data: bytes = safetensors.numpy.save(
            arrays
            | {
                "nonconformity": self.nonconformity,
                "class_counts": self.class_counts,
                "reject_scores": self.reject_scores,
                "features": self.features,
                "neighbours": np.array([self.neighbours], dtype=np.int64),
            }
        )
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Reference":
        """What `to_bytes` wrote; raises DamagedReference for anything else."""
        try:
            arrays = safetensors.numpy.load(data)
            return cls(
                quantiles={name: arrays[_QUANTILES + name] for name in HIGHER_IS_KNOWN},
                nonconformity=arrays["nonconformity"],
                class_counts=arrays["class_counts"],
                reject_scores=arrays["reject_scores"],
                features=arrays["features"],
                neighbours=int(arrays["neighbours"][0]),
            )
        except (SafetensorError, KeyError, IndexError, ValueError) as error:
            raise DamagedReference(f"reference.safetensors is damaged: {error}") from error
