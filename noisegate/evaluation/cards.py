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
from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.evaluation.curves import reliability, risk_coverage
from noisegate.evaluation.families import (
    UNKNOWN_FAMILIES,
    ImageFamily,
    KnownImages,
    family_chunks,
    trained_families,
)
from noisegate.evaluation.open_set_metrics import auroc
from noisegate.evaluation.rule_choice import ranks_by
from noisegate.learning.cells import PreparedCell
from noisegate.learning.outcomes import Answers, ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, Calibration
from noisegate.rejection import SCORES
from noisegate.rejection.fitted_rule import FittedRule, fit_rule
from noisegate.rejection.reference import Columns, HeldOut, Reference, compute_scores
from noisegate.rejection.rule import apply_rule, reject_scores
from noisegate.rejection.scores import softmax
from noisegate.seeds import derive_seed

# Answers scored at a time: comparing with a reference's 1,000 features takes 4 KB for each.
_SCORED_AT_A_TIME = 2000
# Of images answered at a time: fits a processor's cache better than `predict`'s own, and is a quarter faster there.
_BATCH_PIXELS = 2**17
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class _ScoredAnswers:
    """A network's answers to some images, scored.

    Attributes:
        reject_scores: higher = more unknown, 0 … 1.
        others: the other scores by name, each turned so that higher means more unknown.
    """

    probabilities: Float64[np.ndarray, "n outputs"]
    reject_scores: Float64[np.ndarray, " n"]
    others: Columns

    def said(self, known_classes: int) -> HeldOut:
        """All that a rule goes by."""
        is_noise = self.probabilities.argmax(axis=1) >= known_classes
        return HeldOut({REJECT_SCORE: self.reject_scores, **self.others}, is_noise)


@dataclass(frozen=True)
class _ModelScoring:
    """How one model's answers are scored and decided on: by `rule`, or by the reject score where that is None."""

    known_classes: int
    calibration: Calibration | None
    reference: Reference | None
    rule: FittedRule | None
    between_chunks: Callable[[], None]

    def score(self, answers: Answers) -> _ScoredAnswers:
        probabilities = softmax(answers.logits)
        parts = list(self._parts(answers))
        others = {name: SCORES[name].unknownness(np.concatenate([part[name] for part in parts])) for name in parts[0]}
        return _ScoredAnswers(probabilities, reject_scores(probabilities, self.known_classes), others)

    def _parts(self, answers: Answers) -> Iterator[Columns]:
        for start in range(0, len(answers.logits), _SCORED_AT_A_TIME):
            self.between_chunks()
            rows = slice(start, start + _SCORED_AT_A_TIME)
            known, features = answers.logits[rows, : self.known_classes], answers.features[rows]
            yield compute_scores(known, features, self.reference)

    def rejected(self, scored: _ScoredAnswers, max_false_reject: float) -> Bool[np.ndarray, " n"]:
        """At the model's thresholds; without any only noise on top rejects."""
        if self.rule is not None:
            return self.rule.rejects(scored.said(self.known_classes), self.rule.promised(max_false_reject))
        above = self.calibration.threshold(max_false_reject) if self.calibration else math.inf
        return apply_rule(scored.probabilities, self.known_classes, above).rejected

    def unknownness(self, scored: _ScoredAnswers) -> Float64[np.ndarray, " n"]:
        """By what decides, higher = more unknown."""
        if self.rule is None:
            return scored.reject_scores
        said = scored.said(self.known_classes)
        return ranks_by(self.rule, said.unknownness, said.is_noise)

    @property
    def budgets(self) -> list[float]:
        """Those of `BUDGETS` that the model can promise, and the smallest it can instead of those that it cannot; rising."""
        if self.calibration is None:
            return []
        promised = self.rule.promised if self.rule else self.calibration.promised
        return sorted({promised(budget) for budget in BUDGETS})

    def share_rejected(self, scored: _ScoredAnswers, max_false_reject: float) -> float:
        return float(self.rejected(scored, max_false_reject).mean())


def make_card(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    reference: Reference | None,
    rule: DecisionRule | None = None,
    *,
    images_per_family: int,
    device: str = "cpu",
    between_chunks: Callable[[], None] = lambda: None,
) -> Card:
    """Measure one execution's model on the test set and on every family of `UNKNOWN_FAMILIES`.

    The families' images depend on the experiment's seed, the cell and the test images: all executions of a cell are shown
    the same. A family that nothing can be made of (hybrids, where all test images are of one class) is left out.

    Args:
        reference: of this execution's model; without it there are no scores that compare.
        rule: the one that decides; None for the reject score alone.
        images_per_family: from 1 up; families made of test images or digits have at most as many as there are of those.
        device: "cpu", "cuda" or "cuda:1".
        between_chunks: called every second or so; its exceptions propagate.
    """
    assert images_per_family > 0
    calibration = outcome.calibration
    fitted = fit_rule(rule, reference) if rule else None
    scoring = _ModelScoring(len(cell.classes), calibration, reference, fitted, between_chunks)
    tested = scoring.score(outcome.test_answers)
    families = list(_families(cell, outcome, scoring, tested, images_per_family, device))
    wrong = tested.probabilities.argmax(axis=1) != cell.test_labels
    return Card(
        test_images=len(wrong),
        accuracy=float((~wrong).mean()),
        temperature=calibration.temperature if calibration else None,
        calibration_error=_calibration_error(cell, outcome),
        risk_coverage=risk_coverage(scoring.unknownness(tested), wrong),
        false_reject=_false_rejects(scoring, tested),
        families=families,
        untrained_noise=_untrained_noise(families),
        rule=rule,
    )


def _families(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    scoring: _ModelScoring,
    tested: _ScoredAnswers,
    wanted: int,
    device: str,
) -> Iterator[FamilyResult]:
    known = KnownImages(cell.test_images, cell.test_labels)
    trained = trained_families(cell.spec.noises, cell.sample_images)
    seed = derive_seed(cell.spec.seed, "families", cell.cell)
    for family in UNKNOWN_FAMILIES.values():
        if family.count(known, wanted) == 0:
            continue
        # A seed for each, so that a new family leaves the others' images as they are.
        generator = np.random.default_rng(derive_seed(seed, family.name))
        chunks = partial(family_chunks, family, generator, known, wanted)
        answers = _answers(cell, outcome, f"{family.name}, {wanted}", chunks, device, scoring.between_chunks)
        yield _result(family, family.name in trained, answers, scoring, tested)


def _answers(
    cell: PreparedCell,
    outcome: ExecutionOutcome,
    name: str,
    chunks: Callable[[], Iterator[UInt8[np.ndarray, "_ size size 3"]]],
    device: str,
    between_chunks: Callable[[], None],
) -> Answers:
    shown = chunks() if cell.encoder is None else [cell.encode(name, chunks, between_chunks)]
    parts = [answer(outcome.trained, inputs, device, _BATCH_PIXELS, between_chunks) for inputs in shown]
    return Answers(np.concatenate([logits for logits, _ in parts]), np.concatenate([features for _, features in parts]))


def _result(
    family: ImageFamily, trained: bool, answers: Answers, scoring: _ModelScoring, tested: _ScoredAnswers
) -> FamilyResult:
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
    scored = scoring.score(answers)
    called = scored.probabilities.argmax(axis=1)
    return entry(
        auroc=auroc(tested.reject_scores, scored.reject_scores),
        scores=_areas(tested.others, scored.others),
        rejected=scoring.share_rejected(scored, DEFAULT_MAX_FALSE_REJECT),
        rejected_as_noise=float((called >= scoring.known_classes).mean()),
        rejected_at=[
            BudgetShare(max_false_reject=budget, rejected=scoring.share_rejected(scored, budget))
            for budget in scoring.budgets
        ],
    )


def _areas(known: Columns, unknown: Columns) -> dict[str, float]:
    """AUROC by score; one that is not finite for some image is left out."""
    finite = [name for name in unknown if np.isfinite(known[name]).all() and np.isfinite(unknown[name]).all()]
    return {name: auroc(known[name], unknown[name]) for name in finite}


def _untrained_noise(families: list[FamilyResult]) -> UntrainedNoise | None:
    noise = [one for one in families if one.group == "noise" and not one.trained and one.auroc is not None]
    if not noise:
        return None
    return UntrainedNoise(
        families=[one.name for one in noise],
        auroc=float(np.mean([one.auroc for one in noise])),
        scores={name: float(np.mean([one.scores[name] for one in noise])) for name in _in_all(noise)},
        rejected=float(np.mean([one.rejected for one in noise])),
    )


def _in_all(families: list[FamilyResult]) -> list[str]:
    """The scores that every family has, in their order."""
    return [name for name in families[0].scores if all(name in one.scores for one in families)]


def _calibration_error(cell: PreparedCell, outcome: ExecutionOutcome) -> CalibrationError:
    logits = outcome.test_answers.logits.astype(np.float64)
    temperature = outcome.calibration.temperature if outcome.calibration else None
    return CalibrationError(
        before=reliability(softmax(logits), cell.test_labels),
        after=reliability(softmax(logits / temperature), cell.test_labels) if temperature else None,
    )


def _false_rejects(scoring: _ModelScoring, tested: _ScoredAnswers) -> list[FalseReject]:
    if scoring.calibration is None:
        return []
    found = []
    for budget in scoring.budgets:
        rejected = scoring.rejected(tested, budget)
        interval = binomtest(int(rejected.sum()), len(rejected)).proportion_ci(_CONFIDENCE, method="wilson")
        found.append(
            FalseReject(
                max_false_reject=budget,
                threshold=None if scoring.rule else scoring.calibration.threshold(budget),
                rejected=float(rejected.mean()),
                low=float(interval.low),
                high=float(interval.high),
            )
        )
    return found
