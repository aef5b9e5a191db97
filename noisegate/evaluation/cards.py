"""A model's card, right after training: the test set, and families of images that belong to no class."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, UInt8
from scipy.stats import binomtest

from noisegate.api.card import (
    BUDGETS,
    BudgetShare,
    CalibrationError,
    Card,
    FalseReject,
    FamilyResult,
    UntrainedNoise,
)
from noisegate.evaluation.curves import auroc, reliability, risk_coverage
from noisegate.evaluation.families import FAMILIES, Family, KnownImages, family_chunks, trained_families
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import predict
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, Calibration
from noisegate.rejection.calibration import reject_scores, rejections
from noisegate.rejection.reference import Reference
from noisegate.rejection.scores import logit_scores, softmax, unknownness
from noisegate.seeds import derive_seed

# Answers scored at a time: comparing with a reference's 1,000 features takes 4 KB for each.
_SCORED_AT_A_TIME = 2000
# Of images answered at a time: fits a processor's cache better than `predict`'s own, and is a quarter faster there.
_BATCH_PIXELS = 2**17
_CONFIDENCE = 0.95

Columns = dict[str, Float64[np.ndarray, " n"]]


@dataclass(frozen=True)
class _Judged:
    """What a model makes of some images.

    Attributes:
        reject_scores: higher = more unknown, 0 … 1.
        others: the other scores by name, each turned so that higher means more unknown.
    """

    probabilities: Float64[np.ndarray, "n outputs"]
    reject_scores: Float64[np.ndarray, " n"]
    others: Columns


@dataclass(frozen=True)
class _Judge:
    """How one model turns answers into scores and decisions."""

    known_classes: int
    calibration: Calibration | None
    reference: Reference | None
    between_chunks: Callable[[], None]

    def judge(self, answers: Answers) -> _Judged:
        probabilities = softmax(answers.logits)
        parts = list(self._scored(answers))
        others = {name: unknownness(name, np.concatenate([part[name] for part in parts])) for name in parts[0]}
        return _Judged(probabilities, reject_scores(probabilities, self.known_classes), others)

    def _scored(self, answers: Answers) -> Iterator[Columns]:
        for start in range(0, len(answers.logits), _SCORED_AT_A_TIME):
            self.between_chunks()
            rows = slice(start, start + _SCORED_AT_A_TIME)
            known, features = answers.logits[rows, : self.known_classes], answers.features[rows]
            yield self.reference.scores(known, features) if self.reference else logit_scores(known)

    def rejected(self, judged: _Judged, max_false_reject: float) -> Bool[np.ndarray, " n"]:
        """At the holdout's threshold; without one only noise on top rejects."""
        above = self.calibration.threshold(max_false_reject) if self.calibration else math.inf
        return rejections(judged.probabilities, self.known_classes, above)

    def share_rejected(self, judged: _Judged, max_false_reject: float) -> float:
        return float(self.rejected(judged, max_false_reject).mean())


def make_card(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    reference: Reference | None,
    *,
    images_per_family: int,
    device: str = "cpu",
    between_chunks: Callable[[], None] = lambda: None,
) -> Card:
    """Measure one execution's model on the test set and on every family of `FAMILIES`.

    The families' images depend on the experiment's seed, the cell and the test images: all executions of a cell meet the
    same. A family that nothing can be made of (hybrids, where all test images are of one class) is left out.

    Args:
        reference: of this execution's model; without it there is no kNN score.
        images_per_family: from 1 up; families made of test images or digits have at most as many as there are of those.
        device: "cpu", "cuda" or "cuda:1".
        between_chunks: called every second or so. Whatever it raises passes through.
    """
    assert images_per_family > 0
    calibration = outcome.calibration
    judge = _Judge(len(cell.classes), calibration, reference, between_chunks)
    tested = judge.judge(outcome.test_answers)
    families = list(_families(cell, outcome, judge, tested, images_per_family, device))
    wrong = tested.probabilities.argmax(axis=1) != cell.test_labels
    return Card(
        test_images=len(wrong),
        accuracy=float((~wrong).mean()),
        temperature=calibration.temperature if calibration else None,
        calibration_error=_calibration_error(cell, outcome),
        risk_coverage=risk_coverage(tested.reject_scores, wrong),
        false_reject=_false_rejects(judge, tested),
        families=families,
        untrained_noise=_untrained_noise(families),
    )


def _families(
    cell: PreparedCell, outcome: ExecutionOutcome, judge: _Judge, tested: _Judged, wanted: int, device: str
) -> Iterator[FamilyResult]:
    known = KnownImages(cell.test_images, cell.test_labels)
    trained = trained_families(cell.spec.noises, cell.images[: cell.known_images])
    seed = derive_seed(cell.spec.seed, "families", cell.cell)
    for family in FAMILIES.values():
        if family.count(known, wanted) == 0:
            continue
        # A seed for each, so that a new family leaves the others' images as they are.
        generator = np.random.default_rng(derive_seed(seed, family.name))
        chunks = family_chunks(family, generator, known, wanted)
        answers = _answers(outcome, chunks, device, judge.between_chunks)
        yield _result(family, family.name in trained, answers, judge, tested)


def _answers(
    outcome: ExecutionOutcome,
    chunks: Iterator[UInt8[np.ndarray, "_ size size 3"]],
    device: str,
    between_chunks: Callable[[], None],
) -> Answers:
    module, mean = outcome.trained.module, outcome.trained.mean
    parts = [predict(module, mean, images, device, _BATCH_PIXELS, between_chunks) for images in chunks]
    return Answers(np.concatenate([logits for logits, _ in parts]), np.concatenate([features for _, features in parts]))


def _result(family: Family, trained: bool, answers: Answers, judge: _Judge, tested: _Judged) -> FamilyResult:
    entry = partial(
        FamilyResult,
        name=family.name,
        title=family.title,
        group=family.group,
        trained=trained,
        images=len(answers.logits),
    )
    if not (np.isfinite(answers.logits).all() and np.isfinite(answers.features).all()):
        return entry(auroc=None, scores={}, rejected=None, rejected_as_noise=None, rejected_at=[])
    judged = judge.judge(answers)
    called = judged.probabilities.argmax(axis=1)
    return entry(
        auroc=auroc(tested.reject_scores, judged.reject_scores),
        scores={name: auroc(tested.others[name], judged.others[name]) for name in judged.others},
        rejected=judge.share_rejected(judged, DEFAULT_MAX_FALSE_REJECT),
        rejected_as_noise=float((called >= judge.known_classes).mean()),
        rejected_at=[
            BudgetShare(max_false_reject=budget, rejected=judge.share_rejected(judged, budget))
            for budget in BUDGETS
            if judge.calibration
        ],
    )


def _untrained_noise(families: list[FamilyResult]) -> UntrainedNoise | None:
    noise = [one for one in families if one.group == "noise" and not one.trained and one.auroc is not None]
    if not noise:
        return None
    return UntrainedNoise(
        families=[one.name for one in noise],
        auroc=float(np.mean([one.auroc for one in noise])),
        scores={name: float(np.mean([one.scores[name] for one in noise])) for name in noise[0].scores},
        rejected=float(np.mean([one.rejected for one in noise])),
    )


def _calibration_error(cell: PreparedCell, outcome: ExecutionOutcome) -> CalibrationError:
    logits = outcome.test_answers.logits.astype(np.float64)
    temperature = outcome.calibration.temperature if outcome.calibration else None
    return CalibrationError(
        before=reliability(softmax(logits), cell.test_labels),
        after=reliability(softmax(logits / temperature), cell.test_labels) if temperature else None,
    )


def _false_rejects(judge: _Judge, tested: _Judged) -> list[FalseReject]:
    if judge.calibration is None:
        return []
    found = []
    for budget in BUDGETS:
        rejected = judge.rejected(tested, budget)
        interval = binomtest(int(rejected.sum()), len(rejected)).proportion_ci(_CONFIDENCE, method="wilson")
        found.append(
            FalseReject(
                max_false_reject=budget,
                threshold=judge.calibration.threshold(budget),
                rejected=float(rejected.mean()),
                low=float(interval.low),
                high=float(interval.high),
            )
        )
    return found
