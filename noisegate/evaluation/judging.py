"""Has an execution learnt? Judged by the worker that trained it, on the holdout or by cross-validation; without either on the
test set, for marking alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from scipy.stats import binomtest

from noisegate.judgement import BACKBONE_HINT, Finding, Judgement, MeasuredOn, few_updates
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.spec.networks import BackboneNetwork

_LEVEL = 0.05
_MOST = 0.5
# Training images below which a network that starts from scratch learns little of photographs.
_FEW_IMAGES = 5000
# The loss of the last epoch as a share of the first one's: above the one, nothing was learnt of the training images; below the
# other, so much that the trouble lies elsewhere.
_NO_FALL, _DEEP_FALL = 0.95, 0.5
_OTHER_BACKBONE = "another backbone (GET /backbones)"


@dataclass(frozen=True)
class TrainingFacts:
    """What remedies depend on.

    Attributes:
        updates: how many weight updates training made.
        losses: the mean loss of each epoch.
        noise_share: the share of the training images that are noise, 0 … 1.
        few_updates: fewer weight updates are probably too few.
        on_backbone: whether what was trained lies on top of a backbone.
        stopped_early: whether it ended before its last epoch, as the holdout's loss no longer fell.
        few_images: whether it started from scratch with few images, of a size at which they could be photographs.
    """

    updates: int
    losses: tuple[float, ...]
    noise_share: float
    few_updates: int = 1000
    on_backbone: bool = False
    stopped_early: bool = False
    few_images: bool = False


def judge_outcome(cell: PreparedCell, outcome: ExecutionOutcome) -> Judgement:
    """The judgement of one execution by what is said of images that were held out; without any by its answers to the test set."""
    held, known = outcome.held, len(cell.classes)
    training = cell.training
    counted = cell.known_images if training.equal_updates else len(cell.labels)
    facts = TrainingFacts(
        updates=len(outcome.trained.losses) * training.updates_per_epoch(counted),
        losses=tuple(outcome.trained.losses),
        noise_share=1 - cell.known_images / len(cell.labels),
        few_updates=few_updates(training),
        on_backbone=isinstance(cell.spec.network, BackboneNetwork),
        stopped_early=len(outcome.trained.losses) < training.epochs,
        few_images=isinstance(cell.spec.network, str)
        and cell.known_images < _FEW_IMAGES
        and cell.spec.image_size >= 32,
    )
    if held is None:
        return judge(outcome.test_answers.logits, cell.test_labels, known, facts, "test")
    return judge(held.answers.logits, held.labels, known, facts, held.source)


def judge(
    logits: Float[np.ndarray, "n outputs"],
    labels: Int64[np.ndarray, " n"],
    known_classes: int,
    facts: TrainingFacts,
    measured_on: MeasuredOn,
) -> Judgement:
    """Two things speak against an execution: it is no better than guessing, or it calls most known images noise.

    No better: of the null hypothesis that each image is classified right with the probability that the most frequent class
    has among these images, a one-sided binomial test leaves more than 5 %. Where so few images could not even refute it for a
    classifier that is always right, nothing is said.

    Args:
        logits: over the known classes and, if there is one more column, noise. Of equal ones the first counts.
        labels: true classes, 0 … `known_classes` − 1.
        measured_on: which images these are.
    """
    called = logits.argmax(axis=1)
    images, correct = len(labels), int((called == labels).sum())
    most_frequent = int(np.bincount(labels).max()) / images
    p_value = None
    if most_frequent**images <= _LEVEL:
        p_value = float(binomtest(correct, images, most_frequent, alternative="greater").pvalue)
    noise = float((called >= known_classes).mean())
    findings = [*_called_noise(noise, facts), *_guessing(correct, images, most_frequent, p_value, noise, facts)]
    return Judgement(
        measured_on=measured_on,
        images=images,
        correct=correct,
        most_frequent=most_frequent,
        p_value=p_value,
        called_noise=noise,
        findings=findings,
    )


def _called_noise(share: float, facts: TrainingFacts) -> Iterator[Finding]:
    if share > _MOST:
        detail = (
            f"it calls {share:.1%} of known images noise; {facts.noise_share:.0%} of its training images were noise"
        )
        remedy = f"Less noise (noise.quantity), so that the classes weigh more. {_longer(facts)}"
        yield Finding(code="called_noise", detail=detail, remedy=remedy)


def _guessing(
    correct: int, images: int, most_frequent: float, p_value: float | None, noise: float, facts: TrainingFacts
) -> Iterator[Finding]:
    if p_value is None or p_value <= _LEVEL:
        return
    detail = (
        f"it classifies {correct} of {images} images right, which is no better than always naming the most frequent class "
        f"({most_frequent:.1%}; p = {p_value:.2g})"
    )
    remedy = _longer(facts) if noise > _MOST else _remedy(facts)
    yield Finding(code="no_better_than_guessing", detail=detail, remedy=remedy)


def _remedy(facts: TrainingFacts) -> str:
    """What to change in the training; and, of few images, where to begin instead."""
    changed = _change(facts)
    return f"{changed} Or, {BACKBONE_HINT}." if facts.few_images else changed


def _change(facts: TrainingFacts) -> str:
    """By what the loss did: it rose, stood still, fell a little, or fell while known images stay unknown."""
    fall = facts.losses[-1] / facts.losses[0] if facts.losses and facts.losses[0] > 0 else 1.0
    if fall > 1:
        return "The loss rose: a smaller training.learning_rate, or larger batches (training.batch_size)."
    if facts.updates < facts.few_updates:
        return _longer(facts)
    if fall > _NO_FALL:
        if facts.on_backbone:
            return f"The loss did not fall: a larger training.learning_rate, or {_OTHER_BACKBONE}."
        return (
            "The loss did not fall: a larger training.learning_rate, or another training.recipe, such as one_cycle with the "
            "network compact."
        )
    # Telling noise from images takes its share of the loss away, and teaches nothing about the classes.
    if fall < _DEEP_FALL * (1 - facts.noise_share):
        if facts.on_backbone:
            return (
                "The loss fell, so it learnt its training images by heart: more training images, a larger training.weight_decay, "
                f"or {_OTHER_BACKBONE}. See also whether their labels are right."
            )
        return (
            "The loss fell, so it learnt its training images by heart: more training images, and a training.recipe that "
            "changes them at random, such as one_cycle. See also whether their labels are right."
        )
    return _longer(facts)


def _longer(facts: TrainingFacts) -> str:
    made = f"Training made {facts.updates:,} weight updates"
    if facts.stopped_early:
        return f"{made} and stopped early: a larger training.patience, a smaller training.learning_rate, or {_OTHER_BACKBONE}."
    if facts.updates < facts.few_updates:
        return f"{made}, which is few: more training.epochs, or smaller batches (training.batch_size)."
    if facts.on_backbone:
        return f"{made}: more training.epochs, a larger training.learning_rate, or {_OTHER_BACKBONE}."
    return (
        f"{made}: more training.epochs, a larger training.learning_rate, or another training.recipe, such as one_cycle."
    )
