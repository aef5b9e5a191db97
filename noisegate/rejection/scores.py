"""What a score is: a number for each image that tells known from unknown ones. NumPy alone: learning and inference use it.

Scores are computed in float64 over the K *known* logits: a noise logit would count as confidence in a known class.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from noisegate.decision_rule import RuleReason

Rows = npt.NDArray[np.float64]
Direction = Literal["known", "unknown"]
Fitted = Mapping[str, npt.NDArray[Any]]


def softmax(logits: npt.NDArray[np.floating]) -> Rows:
    """Probabilities over all outputs of `logits` [n, outputs]; float64 [n, outputs]."""
    rows = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    probabilities: Rows = shifted / shifted.sum(axis=1, keepdims=True)
    return probabilities


class KnownLogits:
    """Known logits of n images, and what several scores compute from them, once for all; float64.

    Attributes:
        rows: the logits, [n, K].
    """

    def __init__(self, logits: npt.NDArray[np.floating]) -> None:
        self.rows: Rows = np.asarray(logits, dtype=np.float64)

    @cached_property
    def largest(self) -> Rows:
        """The largest logit, [n]."""
        largest: Rows = self.rows.max(axis=1)
        return largest

    @cached_property
    def log_sum_exp(self) -> Rows:
        """log Σ exp(logits), [n]."""
        sums: Rows = self.largest + np.log(np.exp(self.rows - self.largest[:, np.newaxis]).sum(axis=1))
        return sums

    @cached_property
    def log_probabilities(self) -> Rows:
        """Logarithms of the softmax over the known classes, [n, K]."""
        return self.rows - self.log_sum_exp[:, np.newaxis]

    @cached_property
    def probabilities(self) -> Rows:
        """The softmax over the known classes, [n, K]; exp(−745) and below is 0."""
        return np.exp(self.log_probabilities)


@dataclass(frozen=True, eq=False)
class TrainingAnswers:
    """What a network makes of some training images of the known classes, the same share of each class; no noise images.

    Attributes:
        logits: of the known classes, [m, K].
        features: [m, width].
        labels: true classes, 0 … K − 1, [m].
    """

    logits: npt.NDArray[np.floating]
    features: npt.NDArray[np.floating]
    labels: npt.NDArray[np.int64]


class Scorer(ABC):
    """One score: how it is computed, what it remembers of training images, and which direction means unknown.

    Attributes:
        name: its key in `SCORES`, in answers and in files; an identifier.
        higher_is_known: whether a higher value means a more known image.
        description: one line for documents: what it is, its unit or range.
        reason: what a rejection by it is called: unsure if it sees doubt between classes, unknown if it sees that nothing speaks
            for any of them.
        arrays: the names of what `fit` returns. A model stored without one of them is served without this score.
    """

    name: ClassVar[str]
    higher_is_known: ClassVar[bool]
    description: ClassVar[str]
    reason: ClassVar[RuleReason] = "unknown"
    arrays: ClassVar[tuple[str, ...]] = ()

    def fit(self, training: TrainingAnswers) -> Fitted:
        """What the score remembers of training images, by the names of `arrays`; stored with the model. None is empty."""
        del training  # what needs only logits remembers nothing
        return {}

    @abstractmethod
    def value(self, known: KnownLogits, features: npt.NDArray[np.floating], fitted: Fitted) -> Rows:
        """The score of n images with these known logits and `features` [n, width]; float64 [n].

        Raises:
            ValueError: `fitted` is of a model with other classes or features.
        """

    @property
    def higher_means(self) -> Direction:
        """What a higher value says of an image."""
        return "known" if self.higher_is_known else "unknown"

    def unknownness(self, values: Rows) -> Rows:
        """`values` of this score turned so that higher means more unknown; its own inverse."""
        return -values if self.higher_is_known else values

    def file_key(self, array: str) -> str:
        """The name of one of `arrays` in a reference file."""
        return f"fitted.{self.name}.{array}"
