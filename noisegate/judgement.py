"""Whether an execution has learnt: what is found against it, and what to do about it.

What one execution shows by itself is judged by the worker that trained it (noisegate.evaluation.judging) and kept with its
result. That it lies far below the others of its cell shows only beside them, and they end at different times: `findings_in_cell`
says so of those that have ended, whenever it is asked.
"""

import bisect
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Literal

from pydantic import Field

from noisegate.documents import Document
from noisegate.spec import TrainingSpec

# Weight updates below which more of them are what is missing. From scratch: the paper's recipe makes some 25,000 in 12 epochs of
# CIFAR-10. A linear layer on features has one minimum, and is soon near it.
_FEW_UPDATES, _FEW_UPDATES_OF_A_LAYER = 1_000, 100

MeasuredOn = Literal["holdout", "cross_validated", "test"]
FindingCode = Literal["no_better_than_guessing", "called_noise", "collapsed"]

# One execution in a thousand whose siblings are no better than itself would be told that it has collapsed.
_COLLAPSE_LEVEL = 0.001
_COLLAPSE_SHARE = 0.5

# For remedies: what learns of few photographs what no network can learn of them alone.
BACKBONE_HINT = 'for photographs, a backbone, which others have trained: network: {"backbone": "tf_efficientnet_lite0"}'

_IMAGES: dict[MeasuredOn, str] = {
    "holdout": "holdout images",
    "cross_validated": "training images (cross-validated)",
    "test": "test images",
}
_STEADIER = (
    "Keep the best of several executions, as keep_models: best does. To make training steadier: a smaller "
    "training.learning_rate, a larger training.batch_size, or a training.recipe whose rate rises slowly (one_cycle)."
)


def few_updates(training: TrainingSpec) -> int:
    """Fewer weight updates than this are probably too few to learn."""
    return _FEW_UPDATES_OF_A_LAYER if training.needs_backbone else _FEW_UPDATES


class Finding(Document):
    """One reason to say that an execution has not learnt."""

    code: FindingCode = Field(description="Never changes; made for programs.")
    detail: str
    remedy: str


class Judgement(Document):
    """What one execution makes of known images that it was not trained on."""

    measured_on: MeasuredOn = Field(
        description="cross_validated: the training images, each by a layer that was not trained on it. test without either: then "
        "it is marked, and no model is chosen or left out for it."
    )
    images: int = Field(ge=1)
    correct: int = Field(ge=0, description="Of these images; one called noise is wrong.")
    most_frequent: float = Field(
        ge=0,
        le=1,
        description="Share of the most frequent class among them: what always naming that class would get right.",
    )
    p_value: float | None = Field(
        ge=0,
        le=1,
        description="Chance that guessing the most frequent class gets as many right or more (binomial, one-sided). Null if so "
        "few images could not tell even a perfect classifier from it.",
    )
    called_noise: float = Field(ge=0, le=1, description="Share of them with noise as the most probable class.")
    findings: list[Finding] = Field(description="Why it has not learnt; empty if it has, as far as can be told.")

    @property
    def accuracy(self) -> float:
        """Share of the images classified as their own class."""
        return self.correct / self.images

    @property
    def chosen_against(self) -> bool:
        """Whether a model that has learnt is to be preferred to this one: the test set is never what chooses."""
        return self.measured_on != "test" and bool(self.findings)


def has_learnt(judgement: Judgement | None) -> bool:
    """Whether nothing that may choose among models speaks against it; so of one that was never judged."""
    return judgement is None or not judgement.chosen_against


def findings_in_cell(judgements: Sequence[Judgement | None]) -> list[list[Finding]]:
    """What is found against each of a cell's executions that have succeeded: by itself, and beside the others.

    Args:
        judgements: one for each, None for one that was not judged, of which nothing is said.
    """
    accuracies: dict[MeasuredOn, list[float]] = {}
    for one in judgements:
        if one is not None:
            accuracies.setdefault(one.measured_on, []).append(one.accuracy)
    for measured in accuracies.values():
        measured.sort()
    return [
        [] if one is None else [*one.findings, *_beside(one, _usual(one.accuracy, accuracies[one.measured_on]))]
        for one in judgements
    ]


def _usual(own: float, ascending: Sequence[float]) -> float | None:
    """The median of these accuracies without its own, which is one of them; None if there is no other."""
    place, others = bisect.bisect_left(ascending, own), len(ascending) - 1
    if not others:
        return None

    def other(index: int) -> float:
        return ascending[index if index < place else index + 1]

    return (other((others - 1) // 2) + other(others // 2)) / 2


def _beside(one: Judgement, usual: float | None) -> list[Finding]:
    """Whether it has learnt less than half of what the others have, beyond what so few images leave to chance.

    What has been learnt is the accuracy above the share of the most frequent class. The median of the others is not moved by
    a few that have collapsed themselves; that less than half has been learnt no ordinary spread of seeds explains.

    Args:
        usual: the median of the others' accuracies; None without others.
    """
    if usual is None:
        return []
    bound = one.most_frequent + _COLLAPSE_SHARE * (usual - one.most_frequent)
    if usual <= one.most_frequent or one.accuracy >= bound:
        return []
    # By name, when it is asked for: loading it takes a tenth of a second and 10 MB of every process, most of which never do.
    if float(resolve_name("scipy.special:bdtr")(one.correct, one.images, usual)) >= _COLLAPSE_LEVEL:
        return []
    detail = (
        f"it classifies {one.accuracy:.1%} of the {_IMAGES[one.measured_on]} right, where half of the other executions of "
        f"its cell reach {usual:.1%} or more"
    )
    return [Finding(code="collapsed", detail=detail, remedy=_STEADIER)]
