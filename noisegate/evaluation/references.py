"""What a trained network remembers of known images, for scores that compare (see `noisegate.rejection.reference`)."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from jaxtyping import Int64

from noisegate.decision_rule import REJECT_SCORE
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome, Held
from noisegate.learning.prediction import answer
from noisegate.learning.training import Trained
from noisegate.rejection import SCORES
from noisegate.rejection.calibration import quantiles_of
from noisegate.rejection.reference import HeldOut, Reference
from noisegate.rejection.rule import reject_scores
from noisegate.rejection.scores import Fitted, KnownLogits, Rows, TrainingAnswers, softmax
from noisegate.seeds import derive_seed

# What scores are fitted on. 256 KB for the paper's 64 features; more bring little to the distance to the 5th of 1,000.
_MOST_IMAGES = 1000
_MOST_BYTES = 4 * 2**20
# Images whose scores are kept one by one: enough for a budget of 0.1 %, and a megabyte at most.
_MOST_HELD = 10_000


AnswerOf = Callable[[Trained, np.ndarray], tuple[np.ndarray, np.ndarray]]


def make_reference(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    device: str = "cpu",
    between_batches: Callable[[], None] = lambda: None,
) -> Reference | None:
    """The reference of one execution's model; None where nothing was held out to calibrate on.

    Scores are fitted on training images of the known classes, the same share of each class; all else is of the images that were
    held out, by holdout or by cross-validation.

    Args:
        between_batches: called every second or so; its exceptions propagate.
    """
    held = outcome.held
    if held is None:
        return None
    known = len(cell.classes)
    answer_of = partial(answer, device=device, between_batches=between_batches)
    width = held.answers.features.shape[1]
    fitted = fit_scores(cell, outcome.trained, np.arange(cell.known_images), width, answer_of)
    values = _values_by_heads(cell, held, answer_of) if held.heads else score_values(held.answers, known, fitted)
    probabilities = softmax(held.answers.logits)
    unknownness = {name: scorer.unknownness(values[name]) for name, scorer in SCORES.items()}
    of_true_class = probabilities[np.arange(len(held.labels)), held.labels]
    # By class, and rising within it.
    order = np.lexsort((1 - of_true_class, held.labels))
    return Reference(
        quantiles={name: quantiles_of(of_score) for name, of_score in unknownness.items()},
        nonconformity=(1 - of_true_class)[order],
        class_counts=np.bincount(held.labels, minlength=known).astype(np.int64),
        reject_scores=np.sort(reject_scores(probabilities, known)),
        fitted={name: arrays for name, arrays in fitted.items() if arrays},
        held=_held_out(
            {REJECT_SCORE: reject_scores(probabilities, known), **unknownness}, probabilities, held.labels, known
        ),
    )


def _held_out(
    unknownness: Mapping[str, Rows], probabilities: Rows, labels: Int64[np.ndarray, " n"], known: int
) -> HeldOut:
    count = len(probabilities)
    some = np.arange(count) if count <= _MOST_HELD else np.arange(_MOST_HELD) * count // _MOST_HELD
    of_some = {name: np.asarray(values[some], dtype=np.float64) for name, values in unknownness.items()}
    called = probabilities[some].argmax(axis=1)
    return HeldOut(of_some, called >= known, called == labels[some])


def all_scores(answers: Answers, known: int, fitted: Mapping[str, Fitted]) -> HeldOut:
    """What is said of the images that these answers are of: by each score, the reject score first, and whether noise is on top.

    Args:
        known: the number of known classes.
        fitted: what each score remembers, by name.
    """
    probabilities, values = softmax(answers.logits), score_values(answers, known, fitted)
    unknownness = {name: scorer.unknownness(values[name]) for name, scorer in SCORES.items()}
    by_rule = {REJECT_SCORE: reject_scores(probabilities, known)}
    return HeldOut(by_rule | unknownness, probabilities.argmax(axis=1) >= known)


def score_values(answers: Answers, known: int, fitted: Mapping[str, Fitted]) -> dict[str, Rows]:
    """Each score of the images that these answers are of."""
    logits = KnownLogits(answers.logits[:, :known])
    return {name: scorer.value(logits, answers.features, fitted[name]) for name, scorer in SCORES.items()}


def _values_by_heads(cell: PreparedCell, held: Held, answer_of: AnswerOf) -> dict[str, Rows]:
    """The same, each image compared with those that its head was trained on: it must not meet itself."""
    values = {name: np.empty(len(held.labels)) for name in SCORES}
    for head in held.heads:
        rows, trained_on = head.fold.left_out, head.fold.trained[head.fold.trained < cell.known_images]
        fitted = fit_scores(cell, head.trained, trained_on, held.answers.features.shape[1], answer_of)
        answers = Answers(held.answers.logits[rows], held.answers.features[rows])
        for name, of_score in score_values(answers, len(cell.classes), fitted).items():
            values[name][rows] = of_score
    return values


def fit_scores(
    cell: PreparedCell, trained: Trained, places: Int64[np.ndarray, " n"], width: int, answer_of: AnswerOf
) -> dict[str, Fitted]:
    """What each score remembers of the known training images at these places, as the network that was trained on them sees them.

    Args:
        width: of the network's features.
        answer_of: logits and features of inputs.
    """
    most = max(1, min(_MOST_IMAGES, _MOST_BYTES // (4 * width)))
    seed = derive_seed(cell.spec.seed, "reference", cell.cell)
    chosen = places[_of_each_class(cell.labels[places], most, seed)]
    logits, features = answer_of(trained, cell.inputs[chosen])
    training = TrainingAnswers(logits[:, : len(cell.classes)], features, cell.labels[chosen])
    return {name: scorer.fit(training) for name, scorer in SCORES.items()}


def _of_each_class(labels: Int64[np.ndarray, " n"], most: int, seed: int) -> Int64[np.ndarray, " chosen"]:
    """Up to `most` places in `labels`, in their order, the same share of each class to within one image."""
    if len(labels) <= most:
        return np.arange(len(labels))
    # In random order within a class, classes one after another: even steps draw fairly from each.
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[(np.arange(most) * len(labels)) // most])
