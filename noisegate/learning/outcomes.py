"""What an execution leaves in memory once it has been trained and measured."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from noisegate.learning.training import Trained
from noisegate.manifest import Calibration, Metrics


@dataclass(frozen=True)
class Answers:
    """What a network says of images."""

    logits: Float32[np.ndarray, "n outputs"]
    features: Float32[np.ndarray, "n width"]


@dataclass(frozen=True)
class ExecutionOutcome:
    """One execution that ran to its end. What comes of the holdout is None without one; holdout accuracy is 0 … 1."""

    trained: Trained
    metrics: Metrics
    calibration: Calibration | None
    holdout_accuracy: float | None
    test_answers: Answers
    holdout_answers: Answers | None

    @property
    def seed(self) -> int:
        """That of the execution."""
        return self.trained.seed
