"""Decisions one by one, with nothing prepared and each formula written out: what `Decider` has to give, bit by bit."""

import math
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.manifest import DEFAULT_MAX_FALSE_REJECT, ModelManifest, level_of
from noisegate.rejection import SCORES
from noisegate.rejection.decision import Decider, DecisionOptions
from noisegate.rejection.documents import Conformal, Decision, RuleScoreFound, TemperatureScaled
from noisegate.rejection.fitted_rule import as_told, direction_of, fit_rule, reasons_of
from noisegate.rejection.reference import Reference
from noisegate.rejection.scores import KnownLogits


class PlainDecisions:
    """What one model says of images."""

    def __init__(self, manifest: ModelManifest, reference: Reference | None) -> None:
        self.manifest = manifest
        self.reference = reference
        self._budget = Decider(manifest, reference).budget
        self._fitted = lru_cache(partial(fit_rule, reference=reference))

    def decide(self, logits: np.ndarray, features: np.ndarray, options: Sequence[DecisionOptions]) -> list[Decision]:
        """As `Decider.decide`. Scores are of all rows at once: matrix products of single rows differ in their last bits."""
        known = KnownLogits(logits.astype(np.float64)[:, : len(self.manifest.classes)])
        scorers = self.reference.scorers if self.reference else {n: one for n, one in SCORES.items() if not one.arrays}
        columns = {
            name: scorer.value(known, features, self.reference.fitted_of(name) if self.reference else {}).tolist()
            for name, scorer in scorers.items()
        }
        return [
            self._decision(row, {name: values[place] for name, values in columns.items()}, one)
            for place, (row, one) in enumerate(zip(logits.astype(np.float64), options, strict=True))
        ]

    def _decision(self, row: np.ndarray, values: dict[str, float], options: DecisionOptions) -> Decision:
        manifest = self.manifest
        calibration, classes, budget = manifest.calibration, manifest.classes, self._budget(options)
        probabilities = _softmax(row).tolist()
        known = probabilities[: len(classes)]
        threshold = calibration.threshold(budget) if calibration else None
        reject_score = 1 - max(known)
        is_noise = probabilities.index(max(probabilities)) >= len(classes)
        doubtful = reject_score > (math.inf if threshold is None else threshold)
        reason: Any = "noise" if is_noise else "low_confidence" if doubtful else None
        rule = self._ruled(options.rule, budget, {REJECT_SCORE: reject_score, **values})
        if rule is not None:
            reason = "noise" if is_noise else next((one.reason for one in rule if one.rejects), None)
        named = _named(known, options.top_k)
        best = classes[known.index(max(known))]
        return Decision(
            label=manifest.outputs[-1] if is_noise else best,
            known_label=best,
            probabilities={classes[place]: known[place] for place in named},
            noise_probability=probabilities[-1] if manifest.has_noise_class else None,
            temperature_scaled=_tempered(manifest, row, named),
            reject_score=reject_score,
            threshold=threshold,
            max_false_reject=budget,
            rejected=reason is not None,
            reason=reason,
            rule=rule,
            scores={name: self._score(name, value, budget) for name, value in values.items()},
            conformal=_conformal(self.reference, classes, known, reject_score, named) if self.reference else None,
            calibrated=threshold is not None,
            note=_note(manifest, budget, options),
        )

    def _score(self, name: str, value: float, budget: float) -> Any:
        scorer, threshold = SCORES[name], None
        if self.reference is not None:
            calibration = self.manifest.calibration
            level = (calibration.level if calibration else level_of)(budget, self.reference.levels)
            threshold = float(scorer.unknownness(self.reference.quantiles[name][[level]])[0])
        rejects = None if threshold is None else value < threshold if scorer.higher_is_known else value > threshold
        return {"value": value, "higher_means": scorer.higher_means, "threshold": threshold, "rejects": rejects}

    def _ruled(self, rule: DecisionRule | None, budget: float, values: dict[str, float]) -> list[RuleScoreFound] | None:
        if rule is None:
            return None
        found = []
        for name, reason, bound in zip(
            rule.names, reasons_of(rule), self._fitted(rule).thresholds(budget), strict=True
        ):
            value, threshold, direction = values[name], as_told(name, bound), direction_of(name)
            rejects = value > threshold if direction == "unknown" else value < threshold
            found.append(
                RuleScoreFound(
                    score=name, value=value, higher_means=direction, threshold=threshold, rejects=rejects, reason=reason
                )
            )
        return found


def _softmax(row: np.ndarray) -> np.ndarray:
    shifted = np.exp(row - row.max())
    whole: np.ndarray = shifted / shifted.sum()
    return whole


def _named(known: list[float], top_k: int | None) -> list[int]:
    if top_k is None:
        return list(range(len(known)))
    return sorted(range(len(known)), key=known.__getitem__, reverse=True)[:top_k]


def _tempered(manifest: ModelManifest, row: np.ndarray, named: list[int]) -> TemperatureScaled | None:
    calibration = manifest.calibration
    if calibration is None or calibration.temperature is None:
        return None
    tempered = _softmax(row / calibration.temperature).tolist()
    return TemperatureScaled(
        temperature=calibration.temperature,
        probabilities={manifest.classes[place]: tempered[place] for place in named},
        noise_probability=tempered[-1] if manifest.has_noise_class else None,
    )


def _conformal(
    reference: Reference, classes: list[str], known: list[float], reject_score: float, named: list[int]
) -> Conformal:
    starts = np.cumsum([0, *reference.class_counts])
    found = {}
    for place in named:
        # Within a class the same search as in one row of keys, 2 apart: where 1 − p lies depends on rounding at 2c … 2c + 1.
        keys = reference.nonconformity[starts[place] : starts[place + 1]] + 2.0 * place
        below = int(np.searchsorted(keys, (1 - known[place]) + 2.0 * place, side="left"))
        found[classes[place]] = (1 + len(keys) - below) / (1 + len(keys))
    below = int(np.searchsorted(reference.reject_scores, reject_score, side="left"))
    held = len(reference.reject_scores)
    return Conformal(classes=found, none_of_these=(1 + held - below) / (1 + held))


def _note(manifest: ModelManifest, budget: float, options: DecisionOptions) -> str | None:
    calibration = manifest.calibration
    if calibration is None:
        what = "a holdout, so it has no threshold: it rejects an image only when noise is its most probable class."
        if manifest.has_noise_class:
            return f"This model was trained without {what}"
        return (
            "This model was trained without a holdout and without a noise class, so it has neither a threshold nor a class for "
            "unknown images: it rejects nothing. Judge by the reject score yourself."
        )
    if options.max_false_reject is not None or budget <= DEFAULT_MAX_FALSE_REJECT:
        return None
    noise = f", {calibration.called_noise:,} of which it calls noise" if calibration.called_noise else ""
    promise = "So few can promise" if calibration.source == "holdout" else "So few allow to expect"
    return (
        f"This model's threshold rests on {calibration.images}{noise}. {promise} that at most {budget:.4g} of the known "
        f"images are rejected, and not the usual {DEFAULT_MAX_FALSE_REJECT:g}."
    )
