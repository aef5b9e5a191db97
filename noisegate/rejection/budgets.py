"""What a budget, and a rule, mean for one model: where its scores reject, and what there is to say about that. Kept once found."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import numpy as np

from noisegate.decision_rule import DecisionRule, RuleReason
from noisegate.errors import InvalidInput
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, ModelManifest, check_budget, level_of
from noisegate.rejection import SCORES
from noisegate.rejection.fitted_rule import FittedRule, as_told, direction_of, fit_rule, reasons_of
from noisegate.rejection.reference import Reference
from noisegate.rejection.scores import Direction

NOTE_NOISE_ONLY = (
    "This model was trained without a holdout, so it has no threshold: "
    "it rejects an image only when noise is its most probable class."
)
NOTE_NEVER = (
    "This model was trained without a holdout and without a noise class, so it has neither a threshold nor a "
    "class for unknown images: it rejects nothing. Judge by the reject score yourself."
)

# As many rules, and as many budgets, are kept ready for each model in memory.
_MOST_RULES = 16
_MOST_BUDGETS = 64


class Bounds(NamedTuple):
    """Where one model rejects at one budget: by the reject score, and by its scores in their order; None for no threshold."""

    budget: float
    threshold: float | None
    scores: tuple[float | None, ...]


class RuleBound(NamedTuple):
    """Where one score of a rule rejects at one budget."""

    score: str
    higher_means: Direction
    threshold: float
    reason: RuleReason


@dataclass(frozen=True)
class Budgets:
    """Of one model."""

    manifest: ModelManifest
    reference: Reference | None

    def budget(self, asked: float | None, rule: DecisionRule | None) -> float:
        """The largest share of known images to be rejected wrongly that is decided by; None asks for the default.

        Raises:
            InvalidInput: it lies outside 0 … 1, or the model's holdout is too small to promise it; or the rule names a score that
                the model has not.
        """
        if rule is None:
            return self._without_rule(asked)
        smallest = self._fitted(rule).smallest_promise
        if asked is None:
            return max(DEFAULT_MAX_FALSE_REJECT, smallest)
        check_budget(asked)
        if asked < smallest:
            detail = f"max_false_reject is {asked:g}, and this model can promise no less than {smallest:g} by this rule"
            remedy = f"Ask for {smallest:g} or more, or train a model with a larger holdout or less noise."
            raise InvalidInput(detail, field="max_false_reject", remedy=remedy)
        return asked

    @cached_property
    def directions(self) -> list[tuple[str, Direction]]:
        """The model's scores, in their order, and what a higher value of each means."""
        no_arrays = {name: scorer for name, scorer in SCORES.items() if not scorer.arrays}
        scorers = self.reference.scorers if self.reference else no_arrays
        return [(name, scorer.higher_means) for name, scorer in scorers.items()]

    @cached_property
    def bounds(self) -> Callable[[float], Bounds]:
        """Where the model rejects at a budget."""
        return lru_cache(maxsize=_MOST_BUDGETS)(self._find_bounds)

    @cached_property
    def rule_bounds(self) -> Callable[[DecisionRule, float], list[RuleBound]]:
        """Where a rule rejects at a budget."""
        return lru_cache(maxsize=_MOST_RULES)(self._find_rule_bounds)

    def note(self, budget: float, *, asked: bool) -> str | None:
        """What a model without a threshold cannot do, and what one with few held-out images promises."""
        calibration = self.manifest.calibration
        if calibration is None:
            return NOTE_NOISE_ONLY if self.manifest.has_noise_class else NOTE_NEVER
        if asked or budget <= DEFAULT_MAX_FALSE_REJECT:
            return None
        noise = f", {calibration.called_noise:,} of which it calls noise" if calibration.called_noise else ""
        promise = "So few can promise" if calibration.source == "holdout" else "So few allow to expect"
        return (
            f"This model's threshold rests on {calibration.images}{noise}. {promise} that at most {budget:.4g} of the known "
            f"images are rejected, and not the usual {DEFAULT_MAX_FALSE_REJECT:g}."
        )

    @cached_property
    def _without_rule(self) -> Callable[[float | None], float]:
        return lru_cache(maxsize=_MOST_BUDGETS)(self.manifest.budget)

    @cached_property
    def _fitted(self) -> Callable[[DecisionRule], FittedRule]:
        # Fitting one sorts the scores of all held-out images.
        return lru_cache(maxsize=_MOST_RULES)(partial(fit_rule, reference=self.reference))

    def _find_bounds(self, budget: float) -> Bounds:
        calibration, reference = self.manifest.calibration, self.reference
        threshold = calibration.threshold(budget) if calibration else None
        if reference is None:
            return Bounds(budget, threshold, (None,) * len(self.directions))
        levels = np.array([(calibration.level if calibration else level_of)(budget, reference.levels)])
        of_scores = (float(reference.thresholds(name, levels)[0]) for name, _ in self.directions)
        return Bounds(budget, threshold, tuple(of_scores))

    def _find_rule_bounds(self, rule: DecisionRule, budget: float) -> list[RuleBound]:
        thresholds = self._fitted(rule).thresholds(budget)
        return [
            RuleBound(name, direction_of(name), as_told(name, bound), reason)
            for name, reason, bound in zip(rule.names, reasons_of(rule), thresholds, strict=True)
        ]
