"""What an execution leaves in memory once it has been trained and measured."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from noisegate.learning.folds import Fold
from noisegate.learning.training import Trained
from noisegate.manifest import Calibration, CalibrationSource, Metrics


@dataclass(frozen=True)
class Answers:
    """What a network says of images."""

    logits: Float32[np.ndarray, "n outputs"]
    features: Float32[np.ndarray, "n width"]


@dataclass(frozen=True)
class FoldHead:
    """What was trained without one fold, as the execution's own network was: same recipe, same seed."""

    fold: Fold
    trained: Trained


@dataclass(frozen=True)
class Held:
    """What is said of known images by a network that was not trained on them; what thresholds and such are made of.

    Of a holdout that is the execution's own network. By cross-validation it is said of every known training image, by the one of
    `heads` that its fold was left out of; rows are then in the order of the cell's inputs.
    """

    answers: Answers
    labels: Int64[np.ndarray, " n"]
    heads: tuple[FoldHead, ...] = ()

    @property
    def source(self) -> CalibrationSource:
        """By which of the two."""
        return "cross_validated" if self.heads else "holdout"


@dataclass(frozen=True)
class ExecutionOutcome:
    """One execution that ran to its end.

    `held` and what is made of it are None without a holdout or cross-validation. `holdout_accuracy`, 0 … 1, is that of `held`.
    """

    trained: Trained
    metrics: Metrics
    calibration: Calibration | None
    holdout_accuracy: float | None
    test_answers: Answers
    held: Held | None

    @property
    def seed(self) -> int:
        """That of the execution."""
        return self.trained.seed
