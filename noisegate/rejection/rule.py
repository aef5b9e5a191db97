"""The decision rule: which images a model rejects, and why. The same for one image that is served and for a whole test set."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from noisegate.rejection.scores import Rows

# Of the rule that decides where no other is set: noise on top, or a reject score above its threshold.
Reason = Literal["noise", "low_confidence"]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The rule's answer for n images.

    Attributes:
        reject_scores: 1 − the largest known-class probability, 0 … 1; higher = more unknown; float64 [n].
        is_noise: whether noise is the most probable class, [n].
        is_doubtful: whether the reject score lies above the threshold, [n].
    """

    reject_scores: Rows
    is_noise: Flags
    is_doubtful: Flags

    @property
    def rejected(self) -> Flags:
        """Which images are rejected, [n]."""
        return self.is_doubtful | self.is_noise

    def reasons(self) -> list[Reason | None]:
        """Why each is rejected; None for those that are accepted."""
        return [
            "noise" if noise else "low_confidence" if doubtful else None
            for noise, doubtful in zip(self.is_noise.tolist(), self.is_doubtful.tolist(), strict=True)
        ]


def apply_rule(probabilities: Rows, known_classes: int, thresholds: float | Rows) -> Verdicts:
    """Reject what scores above its threshold, or has noise as the most probable class.

    Args:
        probabilities: over all outputs, [n, outputs]; noise, if there is such a class, comes last. Of equally probable
            classes the first counts, so a known one wins over noise.
        thresholds: of the reject score, one for all or one for each image, [n]; infinity where there is none.
    """
    scores = reject_scores(probabilities, known_classes)
    return Verdicts(
        reject_scores=scores,
        is_noise=probabilities.argmax(axis=1) >= known_classes,
        is_doubtful=scores > thresholds,
    )


def reject_scores(probabilities: Rows, known_classes: int) -> Rows:
    """1 − the largest known-class probability, in 0 … 1: noise and doubt both raise it; float64 [n]."""
    scores: Rows = 1 - probabilities[:, :known_classes].max(axis=1)
    return scores
