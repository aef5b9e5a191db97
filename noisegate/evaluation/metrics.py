"""Table 1 of the paper for one execution."""

import numpy as np
from jaxtyping import Bool, Float, Int64

from noisegate.manifest import Metrics


def table1(
    probabilities: Float[np.ndarray, "n outputs"],
    labels: Int64[np.ndarray, " n"],
    known_classes: int,
    *,
    rejected: Bool[np.ndarray, " n"] | None,
) -> Metrics:
    """A, Pc, Ps, Pg and N of the paper's Table 1, over all test images.

    Args:
        probabilities: over the known classes and, if there is one more column, noise.
        labels: true classes, 0 … `known_classes` − 1; a test image called noise therefore counts as wrong.
        rejected: which images the default threshold rejects; None without a threshold.
    """
    assert len(labels) == len(probabilities) > 0
    called = probabilities.argmax(axis=1)
    largest = probabilities.max(axis=1)
    correct = called == labels
    of_true_class = probabilities[np.arange(len(labels)), labels]
    return Metrics(
        test_images=len(labels),
        accuracy=float(correct.mean()),
        confidence=_mean(largest[correct]),
        spuriousness=_mean(largest[~correct]),
        true_class_probability=_mean(of_true_class[~correct]),
        noise_per_10000=10_000 * float((called >= known_classes).mean()),
        false_reject=None if rejected is None else float(rejected.mean()),
    )


def _mean(values: Float[np.ndarray, " n"]) -> float | None:
    return float(values.mean()) if values.size else None
