"""`reference.safetensors`: what a model remembers of known images, so that it can compare. NumPy alone.

Written by learning, read by inference. What scores have fitted is of training images; all else is of the holdout, or of training
images that were each answered by a layer trained without them (cross-validation). Nothing is of the test set.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from noisegate.rejection import SCORES
from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer

_QUANTILES = "quantiles."
_FITTED = "fitted."
_HELD, _HELD_NOISE, _HELD_CORRECT = "held.", "held_noise", "held_correct"

Columns = dict[str, Rows]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What is said of each held-out image, or of up to 10,000 of them in even steps, in one order.

    Attributes:
        unknownness: by score, `reject_score` among them; higher = more unknown, float64 [n].
        is_noise: whether noise is the most probable class, [n].
        correct: whether its own class is the most probable one, [n]; None in files from before it was kept.
    """

    unknownness: Mapping[str, Rows]
    is_noise: npt.NDArray[np.bool_]
    correct: npt.NDArray[np.bool_] | None = None

    @property
    def arrays(self) -> list[npt.NDArray[Any]]:
        """All that is said, an entry an image in each."""
        return [*self.unknownness.values(), self.is_noise, *([] if self.correct is None else [self.correct])]


class DamagedReference(ValueError):
    """Bytes that are no reference, or not that of this model."""


@dataclass(frozen=True)
class Reference:
    """What holdout and training images look like to one model. Cross-validated, all training images stand for the holdout.

    It may hold scores that this version does not know, and lack some that it does: `scorers` are those that it serves.

    Attributes:
        quantiles: of each score's unknownness over the holdout (see `Scorer.unknownness`), float64 [levels]; level i is the
            smallest value that at least i / (levels − 1) of the holdout does not exceed.
        nonconformity: 1 − the probability of its own class, of every holdout image; rising within a class, class after
            class, float64 [holdout].
        class_counts: holdout images of each class, int64 [K].
        reject_scores: of every holdout image, rising, float64 [holdout].
        fitted: what `Scorer.fit` returned, by score.
        held: what rules of several scores get their thresholds from; None in files from before there were any.

    Raises:
        DamagedReference: its parts do not belong together.
    """

    quantiles: Mapping[str, Rows]
    nonconformity: Rows
    class_counts: npt.NDArray[np.int64]
    reject_scores: Rows
    fitted: Mapping[str, Fitted]
    held: HeldOut | None = None

    def __post_init__(self) -> None:
        if int(self.class_counts.sum()) != len(self.nonconformity):
            raise DamagedReference("its parts do not belong together")
        if len({self.quantiles[name].shape for name in self.scorers}) != 1:
            raise DamagedReference("its scores have no quantiles, or not equally many")
        if missing := (self.fitted.keys() & SCORES.keys()) - self.quantiles.keys():
            raise DamagedReference(f"it has no quantiles of {', '.join(sorted(missing))}")
        if self.held and len({values.shape for values in self.held.arrays}) != 1:
            raise DamagedReference("what is said of held-out images is not of the same ones")
        if any(array.size == 0 for name in self.scorers for array in self.fitted_of(name).values()):
            raise DamagedReference("what a score remembers is empty")

    @cached_property
    def scorers(self) -> dict[str, Scorer]:
        """The scores it can serve: known to this version, and their quantiles and arrays are here. In the order of `SCORES`."""
        return {
            name: scorer
            for name, scorer in SCORES.items()
            if name in self.quantiles and self.fitted_of(name).keys() >= set(scorer.arrays)
        }

    def fitted_of(self, name: str) -> Fitted:
        """What the score `name` has fitted; empty if that is nothing."""
        return self.fitted.get(name, {})

    @cached_property
    def _offsets(self) -> Rows:
        # One search for all classes: a class's scores lie in 2c … 2c + 1, so they never mix with another's.
        return 2 * np.arange(len(self.class_counts), dtype=np.float64)

    @cached_property
    def _keys(self) -> Rows:
        keys: Rows = self.nonconformity + np.repeat(self._offsets, self.class_counts)
        return keys

    @cached_property
    def _ranks(self) -> npt.NDArray[np.int64]:
        """One more than the places where each class's scores end among the keys."""
        return 1 + np.cumsum(self.class_counts)

    @cached_property
    def _most(self) -> npt.NDArray[np.int64]:
        return 1 + self.class_counts

    @property
    def levels(self) -> int:
        """How many quantiles there are of each score."""
        return len(self.quantiles[next(iter(self.scorers))])

    @property
    def nbytes(self) -> int:
        """Bytes of memory that its arrays take."""
        fitted = [array for arrays in self.fitted.values() for array in arrays.values()]
        held = self.held.arrays if self.held else []
        arrays = [*self.quantiles.values(), self.nonconformity, self._keys, self.reject_scores, *fitted, *held]
        return sum(array.nbytes for array in arrays)

    def thresholds(self, name: str, levels: npt.NDArray[np.int64]) -> Rows:
        """The value of the score `name` beyond which it rejects, at each of these quantile levels [n]."""
        return self.scorers[name].unknownness(self.quantiles[name][levels])

    def p_values(self, probabilities: Rows) -> Rows:
        """For each class, the conformal p-value of the hypothesis that the image is of that class; float64 [n, K], 0 … 1.

        (1 + holdout images of the class that conform no better) / (1 + holdout images of the class): label-conditional
        (Mondrian) conformal prediction, Vovk, Gammerman and Shafer 2005. Of images of that class, at most a share p has a
        p-value of p or less.

        Args:
            probabilities: of the known classes, [n, K].
        """
        below = self._keys.searchsorted((1 - probabilities) + self._offsets, side="left")
        values: Rows = (self._ranks - below) / self._most
        return values

    def known_p_values(self, reject_scores: Rows) -> Rows:
        """The conformal p-value of the hypothesis that the image is of the known kinds at all, by its reject score; float64 [n].

        Small means "none of these": of known images at most a share p has a p-value of p or less.
        """
        below = self.reject_scores.searchsorted(reject_scores, side="left")
        held = len(self.reject_scores)
        values: Rows = (1 + held - below) / (1 + held)
        return values

    def to_bytes(self) -> bytes:
        """As safetensors; the same reference gives the same bytes."""
        fitted = {
            _file_key(name, array): values for name, part in self.fitted.items() for array, values in part.items()
        }
        arrays = {_QUANTILES + name: values for name, values in self.quantiles.items()} | {
            "nonconformity": self.nonconformity,
            "class_counts": self.class_counts,
            "reject_scores": self.reject_scores,
            **fitted,
            **_held_arrays(self.held),
        }
        data: bytes = safetensors.numpy.save({key: np.asarray(values, order="C") for key, values in arrays.items()})
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Reference":
        """What `to_bytes` wrote, by this version or another; raises DamagedReference for anything else."""
        try:
            arrays = safetensors.numpy.load(data)
            return cls(
                quantiles={
                    key.removeprefix(_QUANTILES): values for key, values in arrays.items() if key.startswith(_QUANTILES)
                },
                nonconformity=arrays["nonconformity"],
                class_counts=arrays["class_counts"],
                reject_scores=arrays["reject_scores"],
                fitted=_fitted_in(arrays),
                held=_held_in(arrays),
            )
        except (SafetensorError, KeyError, ValueError) as error:
            raise DamagedReference(f"reference.safetensors is damaged: {error}") from error


def compute_scores(
    logits: npt.NDArray[np.floating],
    features: npt.NDArray[np.floating],
    reference: Reference | None,
    wanted: Collection[str] = SCORES,
) -> Columns:
    """The scores of images that are wanted and that a model can be asked for, in the order of `SCORES`, each float64 [n].

    Without a reference they are those that need no fitted arrays.

    Args:
        logits: of the known classes, [n, K].
        features: [n, width].

    Raises:
        ValueError: the reference is of a model with other features.
    """
    known = KnownLogits(logits)
    if reference is None:
        return {
            name: scorer.value(known, features, {})
            for name, scorer in SCORES.items()
            if name in wanted and not scorer.arrays
        }
    return {
        name: scorer.value(known, features, reference.fitted_of(name))
        for name, scorer in reference.scorers.items()
        if name in wanted
    }


def _file_key(name: str, array: str) -> str:
    scorer = SCORES.get(name)
    return scorer.file_key(array) if scorer else f"{_FITTED}{name}.{array}"


def _held_arrays(held: HeldOut | None) -> dict[str, npt.NDArray[Any]]:
    if held is None:
        return {}
    scores = {_HELD + name: values for name, values in held.unknownness.items()}
    correct = {} if held.correct is None else {_HELD_CORRECT: held.correct}
    return scores | {_HELD_NOISE: held.is_noise} | correct


def _held_in(arrays: Mapping[str, npt.NDArray[Any]]) -> HeldOut | None:
    if _HELD_NOISE not in arrays:
        return None
    unknownness = {key.removeprefix(_HELD): values for key, values in arrays.items() if key.startswith(_HELD)}
    return HeldOut(unknownness, arrays[_HELD_NOISE], arrays.get(_HELD_CORRECT))


def _fitted_in(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Fitted]:
    """By score: the arrays of those that this version knows under their own keys, those of others as they are named."""
    found: dict[str, dict[str, npt.NDArray[Any]]] = defaultdict(dict)
    for name, scorer in SCORES.items():
        for array in scorer.arrays:
            if (key := scorer.file_key(array)) in arrays:
                found[name][array] = arrays[key]
    for key, values in arrays.items():
        if key.startswith(_FITTED):
            name, _, array = key.removeprefix(_FITTED).partition(".")
            found[name][array] = values
    return dict(found)
