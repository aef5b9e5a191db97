"""Which scores shall decide: chosen by held-out images and by declared unknown ones, never by the test set."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from noisegate.decision_rule import REJECT_SCORE, DecisionRule, RuleChoice, RuleTried
from noisegate.evaluation.open_set_metrics import auroc
from noisegate.rejection.fitted_rule import FittedRule, fit_rule_to
from noisegate.rejection.reference import HeldOut
from noisegate.rejection.scores import Rows

# By how much a pair must beat the best single score, and any score the reject score, to take its place: less is chance.
_WORTHWHILE = 0.003
_MOST_PAIRS_TOLD = 10
# Above the rank of any image whose top class is a known one.
_NOISE_ON_TOP = 2.0


def choose_rule(held: HeldOut, unknown: Sequence[HeldOut]) -> RuleChoice:
    """The rule with the highest AUROC between held-out images and declared unknown ones, on average over their sets.

    The reject score stays where nothing is better than it by 0.3 points, and one score where no pair is.

    Args:
        held: of the holdout.
        unknown: the same of each set of unknown images; one at least.
    """
    singles = sorted((_tried(held, unknown, (name,)) for name in held.unknownness), key=_order)
    pairs = sorted(_pairs(held, unknown), key=_order)
    by_reject_score = next(one for one in singles if one.scores == [REJECT_SCORE])
    chosen = by_reject_score
    for better in (singles[0], *pairs[:1]):
        if better.auroc >= chosen.auroc + _WORTHWHILE:
            chosen = better
    return RuleChoice(
        scores=chosen.scores,
        held_out_images=len(held.is_noise),
        unknown_images=sum(len(one.is_noise) for one in unknown),
        tried=sorted([*singles, *pairs[:_MOST_PAIRS_TOLD]], key=_order),
    )


def ranks_by(rule: FittedRule, unknownness: Mapping[str, Rows], is_noise: Bool[np.ndarray, " n"]) -> Rows:
    """How unknown a rule finds images, noise on top being the most unknown; 0 … 2, float64 [n]."""
    return np.where(is_noise, _NOISE_ON_TOP, rule.ranks_of(unknownness))


def _pairs(held: HeldOut, unknown: Sequence[HeldOut]) -> Iterator[RuleTried]:
    for pair in itertools.combinations(held.unknownness, 2):
        yield _tried(held, unknown, pair)


def _tried(held: HeldOut, unknown: Sequence[HeldOut], names: tuple[str, ...]) -> RuleTried:
    fitted = fit_rule_to(DecisionRule.of(*names), held.unknownness, held.is_noise)
    known = ranks_by(fitted, held.unknownness, held.is_noise)
    found = [auroc(known, ranks_by(fitted, one.unknownness, one.is_noise)) for one in unknown]
    return RuleTried(scores=list(names), auroc=float(np.mean(found)))


def _order(one: RuleTried) -> tuple[float, list[str]]:
    return -one.auroc, one.scores
