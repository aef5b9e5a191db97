"""What a classifier answers to hybrids of two classes: is one accepted, and as what? (Figure 6)"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from pydantic import JsonValue

from noisegate.errors import FieldError, InvalidSpec
from noisegate.evaluation.analysis import Analysis
from noisegate.evaluation.hybrids import hybrid
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.learning.training import Trained
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT
from noisegate.rejection.rule import apply_rule
from noisegate.rejection.scores import softmax
from noisegate.spec import NOISE_CLASS, HybridPairs

# Pixels of the hybrids made at a time, which in float64 take some 12 MB.
_CHUNK_PIXELS = 2**17
_EXAMPLES = 8

Labels = Int64[np.ndarray, " n"]
Indices = Int64[np.ndarray, " pairs"]
Answers = Float[np.ndarray, "pairs outputs"]
Rejected = Bool[np.ndarray, " pairs"]


def measure_hybrids(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    wanted: HybridPairs,
    seed: int,
    device: str = "cpu",
    between_chunks: Callable[[], None] = lambda: None,
) -> Analysis:
    """How one execution's model decides over hybrids of test images, at the default threshold.

    Measures are shares of all pairs, 0 … 1: `accepted_as_low`, `accepted_as_high`, `accepted_as_other` and `rejected` sum
    to 1; `rejected_as_noise` is the part of `rejected` with noise on top. `mean_reject_score` is the hybrids'.
    `parents_rejected` is for comparison: the share rejected of the images that the hybrids were made from, each counted as
    often as it was drawn. Without a calibration only noise on top rejects.

    Details name the classes, count what the hybrids were called, and tell the decision on the first few pairs, whose `low`
    and `high` are positions in the test set.

    Args:
        seed: decides the pairs, together with the test labels, the classes and the number of pairs. With the same one for
            all executions and cells, they are compared on the same pairs.
        between_chunks: called every second or so. Whatever it raises passes through.

    Raises:
        InvalidSpec: naming `hybrids.classes`, if they are not two classes with test images.
    """
    positions = wanted.positions_in(cell.classes)
    lows, highs = draw_pairs(cell.test_labels, positions, wanted.pairs, seed)
    threshold = outcome.calibration.threshold(DEFAULT_MAX_FALSE_REJECT) if outcome.calibration else math.inf
    chunks = _hybrids(cell, wanted, lows, highs, between_chunks)
    trained = outcome.trained
    logits = [answer(trained, chunk, device)[0] for chunk in chunks]
    answers = softmax(np.concatenate(logits))
    verdicts = apply_rule(answers, len(cell.classes), threshold)
    parents = np.concatenate([lows, highs])
    measures = _shares(answers, verdicts.rejected, positions, len(cell.classes)) | {
        "mean_reject_score": float(verdicts.reject_scores.mean()),
        "parents_rejected": _parents_rejected(cell, trained, parents, threshold, device),
    }
    low_name, high_name = (cell.classes[position] for position in positions)
    labels = [*cell.classes, NOISE_CLASS][: answers.shape[1]]
    called = [labels[top] for top in answers.argmax(axis=1)]
    details: dict[str, JsonValue] = {
        "low_class": low_name,
        "high_class": high_name,
        "called": {label: called.count(label) for label in labels},
        "examples": _examples(lows, highs, called, verdicts.rejected),
    }
    return Analysis(measures, details)


def draw_pairs(labels: Labels, classes: tuple[int, int], pairs: int, seed: int) -> tuple[Indices, Indices]:
    """The images that give the low frequencies and those that give the high ones, as indices into `labels`.

    Each image comes once, in random order, unless a class has fewer than `pairs`: then with replacement.

    Raises:
        InvalidSpec: naming `hybrids.classes`, if one of `classes` has no image.
    """
    generator = np.random.default_rng(seed)
    lows, highs = (_draw(generator, np.flatnonzero(labels == position), pairs) for position in classes)
    return lows, highs


def _draw(generator: np.random.Generator, images: Int64[np.ndarray, " members"], pairs: int) -> Indices:
    if len(images) == 0:
        raise _wrong_classes("names a class without test images", "Name classes that the test set has images of.")
    return generator.choice(images, pairs, replace=len(images) < pairs)


def _wrong_classes(message: str, remedy: str) -> InvalidSpec:
    return InvalidSpec([FieldError("hybrids.classes", message, remedy)])


def _hybrids(
    cell: PreparedCell, wanted: HybridPairs, lows: Indices, highs: Indices, between_chunks: Callable[[], None]
) -> Iterator[UInt8[np.ndarray, "chunk size size 3"]]:
    """Every hybrid, of which only a chunk is in memory at a time."""
    images = cell.test_images
    a_chunk = max(1, _CHUNK_PIXELS // images.shape[1] ** 2)
    for start in range(0, len(lows), a_chunk):
        between_chunks()
        place = slice(start, start + a_chunk)
        yield hybrid(images[lows[place]], images[highs[place]], wanted.low_cutoff, wanted.high_cutoff)


def _shares(answers: Answers, rejected: Rejected, positions: tuple[int, int], known_classes: int) -> dict[str, float]:
    called = answers.argmax(axis=1)
    as_low, as_high = (~rejected & (called == position) for position in positions)
    return {
        "accepted_as_low": float(as_low.mean()),
        "accepted_as_high": float(as_high.mean()),
        "accepted_as_other": float((~rejected & ~as_low & ~as_high).mean()),
        "rejected": float(rejected.mean()),
        "rejected_as_noise": float((called >= known_classes).mean()),
    }


def _examples(lows: Indices, highs: Indices, called: Sequence[str], rejected: Rejected) -> list[JsonValue]:
    return [
        {"low": int(lows[at]), "high": int(highs[at]), "label": called[at], "rejected": bool(rejected[at])}
        for at in range(min(_EXAMPLES, len(called)))
    ]


def _parents_rejected(
    cell: PreparedCell, trained: Trained, parents: Int64[np.ndarray, " parents"], threshold: float, device: str
) -> float:
    once, times = np.unique(parents, return_counts=True)
    logits, _ = answer(trained, cell.test_inputs[once], device)
    rejected = apply_rule(softmax(logits), len(cell.classes), threshold).rejected
    return float(np.average(rejected, weights=times))
