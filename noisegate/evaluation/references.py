"""What a trained network remembers of known images, for scores that compare (see `noisegate.rejection.reference`)."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Int64

from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.rejection import SCORES
from noisegate.rejection.calibration import quantiles_of
from noisegate.rejection.reference import Reference
from noisegate.rejection.rule import reject_scores
from noisegate.rejection.scores import KnownLogits, TrainingAnswers, softmax
from noisegate.seeds import derive_seed

# What scores are fitted on. 256 KB for the paper's 64 features; more bring little to the distance to the 5th of 1,000.
_MOST_IMAGES = 1000
_MOST_BYTES = 4 * 2**20


def make_reference(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    device: str = "cpu",
    between_batches: Callable[[], None] = lambda: None,
) -> Reference | None:
    """The reference of one execution's model; None without a holdout to calibrate on.

    Scores are fitted on training images of the known classes, the same share of each class; all else is of the holdout.

    Args:
        between_batches: called every second or so; its exceptions propagate.
    """
    held = outcome.holdout_answers
    if held is None:
        return None
    known = len(cell.classes)
    answer_of = partial(answer, device=device, between_batches=between_batches)
    training = _training_answers(cell, outcome, held.features.shape[1], answer_of)
    fitted = {name: scorer.fit(training) for name, scorer in SCORES.items()}
    logits = KnownLogits(held.logits[:, :known])
    values = {name: scorer.value(logits, held.features, fitted[name]) for name, scorer in SCORES.items()}
    probabilities = softmax(held.logits)
    of_true_class = probabilities[np.arange(len(cell.holdout_labels)), cell.holdout_labels]
    # By class, and rising within it.
    order = np.lexsort((1 - of_true_class, cell.holdout_labels))
    return Reference(
        quantiles={name: quantiles_of(scorer.unknownness(values[name])) for name, scorer in SCORES.items()},
        nonconformity=(1 - of_true_class)[order],
        class_counts=np.bincount(cell.holdout_labels, minlength=known).astype(np.int64),
        reject_scores=np.sort(reject_scores(probabilities, known)),
        fitted={name: arrays for name, arrays in fitted.items() if arrays},
    )


def _training_answers(
    cell: PreparedCell, outcome: ExecutionOutcome, width: int, answer_of: Callable[..., tuple[np.ndarray, np.ndarray]]
) -> TrainingAnswers:
    most = max(1, min(_MOST_IMAGES, _MOST_BYTES // (4 * width)))
    chosen = _of_each_class(cell.labels[: cell.known_images], most, derive_seed(cell.spec.seed, "reference", cell.cell))
    answers = Answers(*answer_of(outcome.trained, cell.inputs[chosen]))
    return TrainingAnswers(answers.logits[:, : len(cell.classes)], answers.features, cell.labels[chosen])


def _of_each_class(labels: Int64[np.ndarray, " n"], most: int, seed: int) -> Int64[np.ndarray, " chosen"]:
    """Up to `most` places in `labels`, in their order, the same share of each class to within one image."""
    if len(labels) <= most:
        return np.arange(len(labels))
    # In random order within a class, classes one after another: even steps draw fairly from each.
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[(np.arange(most) * len(labels)) // most])
