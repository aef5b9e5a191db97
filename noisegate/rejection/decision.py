"""From a network's answers to decisions: accept an image as one of the known classes, or reject it. NumPy alone, float64."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

import numpy as np
import numpy.typing as npt

from noisegate.api.decisions import Score
from noisegate.decision_rule import REJECT_SCORE, DecisionRule, RuleReason
from noisegate.errors import InvalidInput
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, ModelManifest, check_budget, level_of
from noisegate.rejection import SCORES
from noisegate.rejection.documents import Conformal, Decision, Probabilities, RuleScoreFound, TemperatureScaled
from noisegate.rejection.fitted_rule import FittedRule, as_told, direction_of, fit_rule, reasons_of
from noisegate.rejection.reference import Columns, Reference, compute_scores
from noisegate.rejection.rule import Reason, Verdicts, apply_rule
from noisegate.rejection.scores import Rows, softmax

NOTE_NOISE_ONLY = (
    "This model was trained without a holdout, so it has no threshold: "
    "it rejects an image only when noise is its most probable class."
)
NOTE_NEVER = (
    "This model was trained without a holdout and without a noise class, so it has neither a threshold nor a "
    "class for unknown images: it rejects nothing. Judge by the reject score yourself."
)

# As many rules are kept ready for each model in memory.
_MOST_RULES = 16

Logits = npt.NDArray[np.floating]


@dataclass(frozen=True)
class DecisionOptions:
    """How to decide on one image.

    Attributes:
        max_false_reject: the share of known images to reject at most, 0 … 1; None for the default of 5 %, or the smallest that
            the model's holdout can promise, if that is larger.
        top_k: how many classes to name; None for all.
        rule: which scores decide; None for the reject score alone, with the reason low_confidence.
    """

    max_false_reject: float | None = None
    top_k: int | None = None
    rule: DecisionRule | None = None


DEFAULT_OPTIONS = DecisionOptions()


@dataclass(frozen=True)
class _Row:
    """What stands in the decision on one image, as plain numbers."""

    budget: float
    probabilities: list[float]
    reject_score: float
    threshold: float | None
    is_noise: bool
    reason: Reason | RuleReason | None
    scores: dict[str, Score]
    tempered: list[float] | None
    conformal: tuple[list[float], float] | None
    rule: list[RuleScoreFound] | None = None


@dataclass(frozen=True)
class Decider:
    """Turns one model's answers into decisions."""

    manifest: ModelManifest
    reference: Reference | None = None

    def budget(self, options: DecisionOptions) -> float:
        """The largest share of known images to be rejected wrongly that these options are carried out for.

        Raises:
            InvalidInput: it lies outside 0 … 1, or the model's holdout is too small to promise it; or the rule names a score that
                the model has not.
        """
        if options.rule is None:
            return self.manifest.budget(options.max_false_reject)
        smallest = self._rule(options.rule).smallest_promise
        asked = options.max_false_reject
        if asked is None:
            return max(DEFAULT_MAX_FALSE_REJECT, smallest)
        check_budget(asked)
        if asked < smallest:
            detail = f"max_false_reject is {asked:g}, and this model can promise no less than {smallest:g} by this rule"
            remedy = f"Ask for {smallest:g} or more, or train a model with a larger holdout or less noise."
            raise InvalidInput(detail, field="max_false_reject", remedy=remedy)
        return asked

    @cached_property
    def _rule(self) -> Callable[[DecisionRule], FittedRule]:
        # Fitting one sorts the scores of all held-out images.
        return lru_cache(maxsize=_MOST_RULES)(partial(fit_rule, reference=self.reference))

    def decide(self, logits: Logits, features: Logits, options: Sequence[DecisionOptions]) -> list[Decision]:
        """One decision a row of `logits` [n, outputs] and `features` [n, width], with the `options` of each.

        Columns are `manifest.outputs`. Of equally probable classes the first one is named, so a known class wins over noise.

        Raises:
            InvalidInput: a `max_false_reject` lies outside 0 … 1, or is less than the model's holdout can promise.
            ValueError: the logits have another shape, or are not finite.
        """
        rows = np.asarray(logits, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.manifest.outputs):
            raise ValueError(f"logits have the shape {rows.shape}; {len(self.manifest.outputs)} columns are needed")
        if not np.isfinite(rows).all():
            raise ValueError("logits are not finite")
        budgets = [self.budget(one) for one in options]
        probabilities = softmax(rows)
        thresholds = self._thresholds(budgets)
        verdicts = self._verdicts(probabilities, thresholds)
        columns = zip(
            budgets,
            probabilities.tolist(),
            verdicts.reject_scores.tolist(),
            thresholds,
            verdicts.is_noise.tolist(),
            verdicts.reasons(),
            self._scores(rows, features, budgets),
            self._tempered(rows),
            self._conformal(probabilities, verdicts.reject_scores),
            strict=True,
        )
        decided = [_Row(*column) for column in columns]
        ruled = [self._ruled(row, one.rule) if one.rule else row for row, one in zip(decided, options, strict=True)]
        return [self._decision(row, one) for row, one in zip(ruled, options, strict=True)]

    def _ruled(self, row: _Row, rule: DecisionRule) -> _Row:
        """The row as the rule decides instead of the reject score alone."""
        found = [
            _found_by_rule(name, reason, bound, row)
            for name, reason, bound in zip(
                rule.names, reasons_of(rule), self._rule(rule).thresholds(row.budget), strict=True
            )
        ]
        reasons = (one.reason for one in found if one.rejects)
        return replace(row, rule=found, reason="noise" if row.is_noise else next(reasons, None))

    def _thresholds(self, budgets: Sequence[float]) -> list[float | None]:
        calibration = self.manifest.calibration
        return [calibration.threshold(budget) if calibration else None for budget in budgets]

    def _verdicts(self, probabilities: Rows, thresholds: Sequence[float | None]) -> Verdicts:
        bounds = np.array([math.inf if threshold is None else threshold for threshold in thresholds], dtype=np.float64)
        return apply_rule(probabilities, len(self.manifest.classes), bounds)

    def _decision(self, row: _Row, options: DecisionOptions) -> Decision:
        manifest = self.manifest
        known = row.probabilities[: len(manifest.classes)]
        best = manifest.classes[known.index(max(known))]
        named = _most_probable(known, options.top_k)
        calibrated = row.threshold is not None
        return Decision(
            label=manifest.outputs[-1] if row.is_noise else best,
            known_label=best,
            probabilities=self._by_class(known, named),
            noise_probability=row.probabilities[-1] if manifest.has_noise_class else None,
            temperature_scaled=self._temperature_scaled(row.tempered, named),
            reject_score=row.reject_score,
            threshold=row.threshold,
            max_false_reject=row.budget,
            rejected=row.reason is not None,
            reason=row.reason,
            rule=row.rule,
            scores=row.scores,
            conformal=Conformal(classes=self._by_class(row.conformal[0], named), none_of_these=row.conformal[1])
            if row.conformal
            else None,
            calibrated=calibrated,
            note=self._note(row.budget, options),
        )

    def _note(self, budget: float, options: DecisionOptions) -> str | None:
        calibration = self.manifest.calibration
        if calibration is None:
            return NOTE_NOISE_ONLY if self.manifest.has_noise_class else NOTE_NEVER
        if options.max_false_reject is not None or budget <= DEFAULT_MAX_FALSE_REJECT:
            return None
        noise = f", {calibration.called_noise:,} of which it calls noise" if calibration.called_noise else ""
        promise = "So few can promise" if calibration.source == "holdout" else "So few allow to expect"
        return (
            f"This model's threshold rests on {calibration.images}{noise}. {promise} that at most {budget:.4g} of the known "
            f"images are rejected, and not the usual {DEFAULT_MAX_FALSE_REJECT:g}."
        )

    def _by_class(self, values: Sequence[float], named: Sequence[int] | None) -> Probabilities:
        classes = self.manifest.classes
        if named is None:
            return dict(zip(classes, values, strict=False))
        return {classes[place]: values[place] for place in named}

    def _temperature_scaled(
        self, tempered: list[float] | None, named: Sequence[int] | None
    ) -> TemperatureScaled | None:
        if tempered is None:
            return None
        calibration = self.manifest.calibration
        assert calibration
        assert calibration.temperature
        return TemperatureScaled(
            temperature=calibration.temperature,
            probabilities=self._by_class(tempered, named),
            noise_probability=tempered[-1] if self.manifest.has_noise_class else None,
        )

    def _tempered(self, rows: Rows) -> Sequence[list[float] | None]:
        calibration = self.manifest.calibration
        if calibration is None or calibration.temperature is None:
            return [None] * len(rows)
        scaled: list[list[float]] = softmax(rows / calibration.temperature).tolist()
        return scaled

    def _conformal(self, probabilities: Rows, reject_scores: Rows) -> Sequence[tuple[list[float], float] | None]:
        if self.reference is None:
            return [None] * len(probabilities)
        known = probabilities[:, : len(self.manifest.classes)]
        of_known = self.reference.known_p_values(reject_scores)
        return list(zip(self.reference.p_values(known).tolist(), of_known.tolist(), strict=True))

    def _scores(self, rows: Rows, features: Logits, budgets: Sequence[float]) -> Iterator[dict[str, Score]]:
        columns = compute_scores(rows[:, : len(self.manifest.classes)], features, self.reference)
        thresholds = self._score_thresholds(columns, budgets)
        by_score = [
            [_score(name, value, bound) for value, bound in zip(values.tolist(), thresholds[name], strict=True)]
            for name, values in columns.items()
        ]
        return (dict(zip(columns, row, strict=True)) for row in zip(*by_score, strict=True))

    def _score_thresholds(self, columns: Columns, budgets: Sequence[float]) -> Mapping[str, Sequence[float | None]]:
        if self.reference is None:
            return dict.fromkeys(columns, [None] * len(budgets))
        calibration, count = self.manifest.calibration, self.reference.levels
        level = partial(calibration.level if calibration else level_of, levels=count)
        levels = np.array([level(budget) for budget in budgets], dtype=np.int64)
        return {name: self.reference.thresholds(name, levels).tolist() for name in columns}


def _found_by_rule(name: str, reason: RuleReason, bound: float, row: _Row) -> RuleScoreFound:
    """What one score of a rule says of an image; `bound` is of unknownness."""
    value = row.reject_score if name == REJECT_SCORE else row.scores[name]["value"]
    threshold = as_told(name, bound)
    higher_means = direction_of(name)
    rejects = value > threshold if higher_means == "unknown" else value < threshold
    return RuleScoreFound(
        score=name, value=value, higher_means=higher_means, threshold=threshold, rejects=rejects, reason=reason
    )


def _score(name: str, value: float, threshold: float | None) -> Score:
    if threshold is None:
        return Score(value=value, higher_means=SCORES[name].higher_means, threshold=None, rejects=None)
    rejects = value < threshold if SCORES[name].higher_is_known else value > threshold
    return Score(value=value, higher_means=SCORES[name].higher_means, threshold=threshold, rejects=rejects)


def _most_probable(known: Sequence[float], top_k: int | None) -> list[int] | None:
    """Which of the known classes to name, the most probable first; None for all of them in their own order."""
    if top_k is None:
        return None
    return sorted(range(len(known)), key=known.__getitem__, reverse=True)[:top_k]
