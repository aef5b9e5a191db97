"""Which scores shall decide: by counting pairs, on made-up scores of held-out and declared unknown images."""

import numpy as np
import pytest

from noisegate.decision_rule import REJECT_SCORE, DecisionRule
from noisegate.evaluation.rule_choice import choose_rule, ranks_by
from noisegate.rejection.fitted_rule import fit_rule_to
from noisegate.rejection.reference import HeldOut


def images(count: int, seed: int, **shifts: float) -> HeldOut:
    """Scores around 0, but for those that are shifted; a score of the same name has the same noise in every set of a seed."""
    names = [REJECT_SCORE, "energy", "knn"]
    drawn = np.random.default_rng(seed).normal(size=(len(names), count))
    unknownness = {name: row + shifts.get(name, 0.0) for name, row in zip(names, drawn, strict=True)}
    return HeldOut(unknownness, np.zeros(count, dtype=np.bool_))


def test_the_score_that_tells_them_apart_is_chosen() -> None:
    choice = choose_rule(images(300, 1), [images(200, 2, knn=3.0)])
    assert choice.scores == ["knn"]
    assert (choice.held_out_images, choice.unknown_images) == (300, 200)
    assert choice.tried == sorted(choice.tried, key=lambda one: -one.auroc)


def test_the_reject_score_stays_where_nothing_is_better() -> None:
    same = images(300, 1)
    alike = HeldOut(dict.fromkeys(same.unknownness, same.unknownness[REJECT_SCORE]), same.is_noise)
    moved = HeldOut({name: values + 1.0 for name, values in alike.unknownness.items()}, alike.is_noise)
    assert choose_rule(alike, [moved]).scores == [REJECT_SCORE]


def test_two_scores_are_chosen_where_each_sees_another_kind_of_unknown() -> None:
    far = [images(200, 2, knn=4.0), images(200, 3, energy=4.0)]
    choice = choose_rule(images(300, 1), far)
    assert set(choice.scores) == {"energy", "knn"}
    by_one = {one.scores[0]: one.auroc for one in choice.tried if len(one.scores) == 1}
    assert next(one for one in choice.tried if set(one.scores) == {"energy", "knn"}).auroc > max(by_one.values())


def test_how_well_a_rule_does_is_the_share_of_pairs_in_the_right_order() -> None:
    held, unknown = images(40, 1), images(30, 2, knn=1.0)
    held = HeldOut(held.unknownness, np.arange(40) < 3)
    choice = choose_rule(held, [unknown])
    tried = next(one for one in choice.tried if one.scores == ["knn"])
    fitted = fit_rule_to(DecisionRule.of("knn"), held.unknownness, held.is_noise)
    known, others = (ranks_by(fitted, one.unknownness, one.is_noise) for one in (held, unknown))
    pairs = np.sign(others[:, None] - known[None, :])
    assert tried.auroc == pytest.approx(((pairs + 1) / 2).mean())
    assert (known[:3] > others.max()).all(), "noise on top is the most unknown"
