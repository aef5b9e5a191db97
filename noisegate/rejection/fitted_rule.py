"""A decision rule of one or two scores with thresholds from known images that a model was not trained on. NumPy alone.

Scores have different scales, so they meet as ranks: an image's rank by a score is the number of held-out images that the score
finds no more unknown, and its rank by the rule the larger of the two. Of n held-out images the ⌈(n + 1)(1 − budget)⌉-th smallest
rank by the rule, images with noise on top counting as more unknown than any, is where both scores get their thresholds: the
value with that rank. So the budget covers the whole rule (split conformal prediction; Vovk, Gammerman and Shafer 2005). With two
scores the ranks come from the same images as the threshold, and the promise holds to within 1/n.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from noisegate.decision_rule import REJECT_SCORE, DecisionRule, RuleReason
from noisegate.errors import InvalidInput
from noisegate.manifest import check_budget, smallest_promise
from noisegate.rejection import SCORES
from noisegate.rejection.reference import HeldOut, Reference
from noisegate.rejection.scores import Direction, Rows

_GENERALLY = "Leave the rule out, or train a model with a holdout."


@dataclass(frozen=True, eq=False)
class FittedRule:
    """A rule that can be applied.

    Attributes:
        rule: the one that was fitted.
        rising: by score, the unknownness of each held-out image in rising order, float64 [n].
        ranks: of the held-out images by the rule, rising; n + 1 where noise is the most probable class, int64 [n].
    """

    rule: DecisionRule
    rising: tuple[Rows, ...]
    ranks: npt.NDArray[np.int64]

    @property
    def smallest_promise(self) -> float:
        """The smallest budget that the held-out images can promise, rounded up to four digits; as of `Calibration`."""
        samples = len(self.ranks)
        return smallest_promise(int((self.ranks > samples).sum()), samples)

    def promised(self, max_false_reject: float) -> float:
        """This budget, or the smallest that can be promised if that is larger."""
        return max(max_false_reject, self.smallest_promise)

    def thresholds(self, max_false_reject: float) -> tuple[float, ...]:
        """Of each score: how unknown it must find an image to reject it (more than this).

        Raises:
            InvalidInput: the budget lies outside 0 … 1.
        """
        samples = len(self.ranks)
        place = _place(max_false_reject, samples)
        # Where the budget cannot be kept, nothing but noise is rejected of images like these.
        rank = samples if place > samples else min(samples, int(self.ranks[place - 1]))
        return tuple(float(values[rank - 1]) for values in self.rising)

    def rejects(self, said: HeldOut, max_false_reject: float) -> npt.NDArray[np.bool_]:
        """Which of the images that `said` is about the rule rejects, noise on top included, [m].

        Raises:
            InvalidInput: the budget lies outside 0 … 1.
        """
        pairs = zip(self.rule.names, self.thresholds(max_false_reject), strict=True)
        beyond = [said.unknownness[name] > bound for name, bound in pairs]
        rejected: npt.NDArray[np.bool_] = np.any([said.is_noise, *beyond], axis=0)
        return rejected

    def ranks_of(self, unknownness: Mapping[str, Rows]) -> Rows:
        """How unknown the rule finds images: the largest of their ranks by its scores, as a share of the held-out images.

        Where a score finds an image more unknown than all of them, by how much counts, too: never as much as one rank.

        Args:
            unknownness: of the images, [m], by score.
        """
        shares = [_rank(values, unknownness[name]) for name, values in zip(self.rule.names, self.rising, strict=True)]
        largest: Rows = np.max(shares, axis=0)
        return largest


def unknown_scores(rule: DecisionRule) -> Iterator[tuple[str, str]]:
    """The scores of a rule that there are not, as message and remedy."""
    for name in rule.names:
        if name != REJECT_SCORE and name not in SCORES:
            yield f"there is no score {name!r}", f"There are: {', '.join([REJECT_SCORE, *SCORES])}."


def fit_rule(rule: DecisionRule, reference: Reference | None) -> FittedRule:
    """The rule with what a model's reference says of held-out images.

    Raises:
        InvalidInput: a score does not exist, or the model remembers nothing of it.
    """
    held = reference.held if reference else None
    for message, remedy in unknown_scores(rule):
        raise InvalidInput(message, field="rule", remedy=remedy)
    for name in rule.names:
        if held is None:
            detail = "this model keeps no scores of single held-out images: it is from before rules, or has no holdout"
            raise InvalidInput(detail, field="rule", remedy=_GENERALLY)
        if name not in held.unknownness:
            known = ", ".join(one for one in (REJECT_SCORE, *SCORES) if one in held.unknownness)
            raise InvalidInput(f"this model has no score {name!r}", field="rule", remedy=f"It has: {known}.")
    assert held is not None, "a rule has a score"
    return fit_rule_to(rule, held.unknownness, held.is_noise)


def fit_rule_to(rule: DecisionRule, unknownness: Mapping[str, Rows], is_noise: npt.NDArray[np.bool_]) -> FittedRule:
    """The rule with the scores of known images that were not trained on.

    Args:
        unknownness: by score, higher = more unknown, [n]; n is at least 1.
        is_noise: which images have noise as the most probable class, [n].
    """
    rising = tuple(np.sort(unknownness[name]) for name in rule.names)
    by_score = [
        np.searchsorted(values, unknownness[name], side="right")
        for name, values in zip(rule.names, rising, strict=True)
    ]
    ranks = np.where(is_noise, len(is_noise) + 1, np.max(by_score, axis=0))
    return FittedRule(rule, rising, np.sort(ranks).astype(np.int64))


def reasons_of(rule: DecisionRule) -> Sequence[RuleReason]:
    """What a rejection by each score is called."""
    return [one.reason or _usual_reason(one.score) for one in rule.scores]


def direction_of(score: str) -> Direction:
    """What a higher value of a score says of an image."""
    return "unknown" if score == REJECT_SCORE else SCORES[score].higher_means


def as_told(score: str, unknownness: float) -> float:
    """A threshold on unknownness as a value of the score itself."""
    if score == REJECT_SCORE:
        return unknownness
    return float(SCORES[score].unknownness(np.array([unknownness]))[0])


@lru_cache(maxsize=1024)
def _place(max_false_reject: float, samples: int) -> int:
    """Which of the rising ranks is the threshold, counted from 1; one more than there are where none can be."""
    check_budget(max_false_reject)
    return max(1, math.ceil((samples + 1) * (1 - Fraction(repr(float(max_false_reject))))))


def _usual_reason(score: str) -> RuleReason:
    return "unsure" if score == REJECT_SCORE else SCORES[score].reason


def _rank(rising: Rows, values: Rows) -> Rows:
    count = len(rising)
    below = np.searchsorted(rising, values, side="right").astype(np.float64)
    beyond = np.maximum(0.0, values - rising[-1])
    # From 0 up to, never reaching, 1: the order among images beyond all held-out ones is kept.
    scale = max(float(rising[-1] - rising[0]), np.finfo(np.float64).tiny)
    share: Rows = (below + beyond / (beyond + scale)) / count
    return share
