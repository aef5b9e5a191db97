"""From a network's answers to decisions: accept an image as one of the known classes, or reject it. NumPy alone, float64."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from noisegate.api.found import (
    BriefFound,
    Found,
    RejectionReason,
    RuleFound,
    ScaledProbabilities,
    Score,
    ScoreOfRule,
)
from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.manifest import ModelManifest
from noisegate.rejection import SCORES
from noisegate.rejection.budgets import Bounds, Budgets, RuleBound
from noisegate.rejection.documents import Decision, Probabilities
from noisegate.rejection.reference import Reference, compute_scores
from noisegate.rejection.rule import apply_rule
from noisegate.rejection.scores import Rows, softmax

Logits = npt.NDArray[np.floating]


class NotFinite(ValueError):
    """A network's answers are no finite numbers, or what a score makes of them is none."""


@dataclass(frozen=True)
class DecisionOptions:
    """How to decide on one image.

    Attributes:
        max_false_reject: the share of known images to reject at most, 0 … 1; None for the default of 5 %, or the smallest that
            the model's holdout can promise, if that is larger.
        top_k: how many classes to name; None for all.
        rule: which scores decide; None for the reject score alone, with the reason low_confidence.
        brief: answer with a `BriefFound`, for which no score is computed that does not decide.
    """

    max_false_reject: float | None = None
    top_k: int | None = None
    rule: DecisionRule | None = None
    brief: bool = False


DEFAULT_OPTIONS = DecisionOptions()


class _Image(NamedTuple):
    """What has been computed of one image, as plain numbers; the values of scores in the order of the model's.

    Where all answers are brief, the scores are those of rules, and `tempered` and `conformal` are None.
    """

    bounds: Bounds
    probabilities: list[float]
    reject_score: float
    is_noise: bool
    is_doubtful: bool
    scores: dict[str, float]
    tempered: list[float] | None
    conformal: tuple[list[float], float] | None


@dataclass(frozen=True)
class Decider:
    """Turns one model's answers into decisions. What depends on the model alone, or on it and a budget, is computed once."""

    manifest: ModelManifest
    reference: Reference | None = None

    def budget(self, options: DecisionOptions) -> float:
        """The budget that these options are carried out for; errors are those of `Budgets.budget`."""
        return self._budgets.budget(options.max_false_reject, options.rule)

    def decide(self, logits: Logits, features: Logits, options: Sequence[DecisionOptions]) -> list[Decision]:
        """One decision a row; arguments and errors are those of `find`."""
        return [Decision.model_validate(found) for found in self.find(logits, features, options)]

    def find(self, logits: Logits, features: Logits, options: Sequence[DecisionOptions]) -> list[Found]:
        """The JSON document of one `Decision` a row of `logits` [n, outputs] and `features` [n, width], with the `options` of each.

        Columns are `manifest.outputs`. Of equally probable classes the first one is named, so a known class wins over noise.

        Raises:
            InvalidInput: as `Budgets.budget`.
            NotFinite: the logits are not finite, or a score is not.
            ValueError: the logits have another shape.
        """
        rows = np.asarray(logits, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self._outputs):
            raise ValueError(f"logits have the shape {rows.shape}; {len(self._outputs)} columns are needed")
        if not np.isfinite(rows).all():
            raise NotFinite("logits are not finite")
        bounds = [self._budgets.bounds(self.budget(one)) for one in options]
        images = self._images(rows, features, bounds, options)
        return [self._document(image, one) for image, one in zip(images, options, strict=True)]

    def _images(
        self, rows: Rows, features: Logits, bounds: Sequence[Bounds], options: Sequence[DecisionOptions]
    ) -> Iterable[_Image]:
        """Every number in the documents of these images, computed of all of them at once."""
        known, brief = len(self._classes), all(one.brief for one in options)
        wanted = {name for one in options if one.rule for name in one.rule.names} if brief else SCORES
        probabilities, tempered = (softmax(rows), [None] * len(rows)) if brief else self._probabilities(rows)
        above = [math.inf if one.threshold is None else one.threshold for one in bounds]
        verdicts = apply_rule(probabilities, known, np.array(above))
        return map(
            _Image,
            bounds,
            probabilities.tolist(),
            verdicts.reject_scores.tolist(),
            verdicts.is_noise.tolist(),
            verdicts.is_doubtful.tolist(),
            self._scores(rows[:, :known], features, wanted),
            tempered,
            [None] * len(rows) if brief else self._conformal(probabilities[:, :known], verdicts.reject_scores),
        )

    def _probabilities(self, rows: Rows) -> tuple[Rows, Sequence[list[float] | None]]:
        """Over all outputs, and after temperature scaling, if the model has a temperature."""
        if self._temperature is None:
            return softmax(rows), [None] * len(rows)
        both = softmax(np.concatenate((rows, rows / self._temperature)))
        return both[: len(rows)], both[len(rows) :].tolist()

    def _scores(self, known: Rows, features: Logits, wanted: Collection[str]) -> Iterable[dict[str, float]]:
        columns = compute_scores(known, features, self.reference, wanted)
        values = [column.tolist() for column in columns.values()]
        if not all(map(math.isfinite, (value for column in values for value in column))):
            raise NotFinite("scores are not finite")
        if not values:
            return [{}] * len(known)
        return (dict(zip(columns, of_one, strict=True)) for of_one in zip(*values, strict=True))

    def _conformal(self, known: Rows, reject_scores: Rows) -> Iterable[tuple[list[float], float] | None]:
        if self.reference is None:
            return [None] * len(known)
        of_known = self.reference.known_p_values(reject_scores)
        return zip(self.reference.p_values(known).tolist(), of_known.tolist(), strict=True)

    def _document(self, image: _Image, options: DecisionOptions) -> Found:
        bounds, noise = image.bounds, self.manifest.has_noise_class
        known = image.probabilities[: len(self._classes)]
        best = self._classes[known.index(max(known))]
        label = self._outputs[-1] if image.is_noise else best
        reason: RejectionReason | None = "low_confidence" if image.is_doubtful else None
        rule: RuleFound = {}
        if options.rule is not None:
            rule = {"rule": self._by_rule(options.rule, image)}
            reason = next((one["reason"] for one in rule["rule"] if one["rejects"]), None)
        if image.is_noise:
            reason = "noise"
        if options.brief:
            return _brief(image, label, known, reason, noise=noise)
        named = _most_probable(known, options.top_k)
        return {
            "label": label,
            "known_label": best,
            "probabilities": self._by_class(known, named),
            "noise_probability": image.probabilities[-1] if noise else None,
            "temperature_scaled": self._temperature_scaled(image.tempered, named),
            "reject_score": image.reject_score,
            "threshold": bounds.threshold,
            "max_false_reject": bounds.budget,
            "rejected": reason is not None,
            "reason": reason,
            **rule,
            "scores": self._by_score(image.scores.values(), bounds),
            "conformal": {"classes": self._by_class(image.conformal[0], named), "none_of_these": image.conformal[1]}
            if image.conformal
            else None,
            "calibrated": bounds.threshold is not None,
            "note": self._budgets.note(bounds.budget, asked=options.max_false_reject is not None),
        }

    def _by_score(self, values: Iterable[float], bounds: Bounds) -> dict[str, Score]:
        return {
            name: {
                "value": value,
                "higher_means": higher_means,
                "threshold": bound,
                "rejects": None if bound is None else value < bound if higher_means == "known" else value > bound,
            }
            for (name, higher_means), value, bound in zip(self._budgets.directions, values, bounds.scores, strict=True)
        }

    def _by_rule(self, rule: DecisionRule, image: _Image) -> list[ScoreOfRule]:
        return [
            _found_by_rule(bound, image.reject_score if bound.score == REJECT_SCORE else image.scores[bound.score])
            for bound in self._budgets.rule_bounds(rule, image.bounds.budget)
        ]

    def _by_class(self, values: Sequence[float], named: Sequence[int] | None) -> Probabilities:
        if named is None:
            return dict(zip(self._classes, values, strict=False))
        return {self._classes[place]: values[place] for place in named}

    def _temperature_scaled(
        self, tempered: list[float] | None, named: Sequence[int] | None
    ) -> ScaledProbabilities | None:
        if tempered is None or self._temperature is None:
            return None
        return {
            "temperature": self._temperature,
            "probabilities": self._by_class(tempered, named),
            "noise_probability": tempered[-1] if self.manifest.has_noise_class else None,
        }

    @cached_property
    def _budgets(self) -> Budgets:
        return Budgets(self.manifest, self.reference)

    @cached_property
    def _classes(self) -> list[str]:
        return self.manifest.classes

    @cached_property
    def _outputs(self) -> list[str]:
        return self.manifest.outputs

    @cached_property
    def _temperature(self) -> float | None:
        return self.manifest.calibration.temperature if self.manifest.calibration else None


def _brief(image: _Image, label: str, known: list[float], reason: RejectionReason | None, *, noise: bool) -> BriefFound:
    return {
        "label": label,
        "probability": max(image.probabilities),
        "rejected": reason is not None,
        "reason": reason,
        "probabilities": known,
        "noise_probability": image.probabilities[-1] if noise else None,
        "reject_score": image.reject_score,
        "threshold": image.bounds.threshold,
        "max_false_reject": image.bounds.budget,
    }


def _found_by_rule(bound: RuleBound, value: float) -> ScoreOfRule:
    """What one score of a rule says of an image."""
    return {
        "score": bound.score,
        "value": value,
        "higher_means": bound.higher_means,
        "threshold": bound.threshold,
        "rejects": value > bound.threshold if bound.higher_means == "unknown" else value < bound.threshold,
        "reason": bound.reason,
    }


def _most_probable(known: Sequence[float], top_k: int | None) -> list[int] | None:
    """Which of the known classes to name, the most probable first; None for all of them in their own order."""
    if top_k is None:
        return None
    return sorted(range(len(known)), key=known.__getitem__, reverse=True)[:top_k]
