"""Subgroups of ten images, worked out by hand; and their controls."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.errors import InvalidSpec
from noisegate.learning.subgroups import ScoredImages, choose_subgroup, subgroup_size
from noisegate.spec import SubgroupSpec

# image           0     1     2     3     4     5     6     7     8     9
# class           0     1     0     1     0     1     0     1     0     1
# prediction      0     0     0     1     1     1     0     0     0     0
#                 ok    wrong ok    ok    wrong ok    ok    wrong ok    wrong
# probability    .90   .60   .55   .95   .80   .70   .99   .51   .65   .75
LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
PREDICTIONS = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0, 0])
LARGEST = np.array([0.90, 0.60, 0.55, 0.95, 0.80, 0.70, 0.99, 0.51, 0.65, 0.75])
TEN = ScoredImages(LABELS, PREDICTIONS, LARGEST, np.where(LABELS == PREDICTIONS, LARGEST, 1 - LARGEST))
# Correct by rising confidence: 2, 8, 5, 0, 3, 6. Wrong by rising spuriousness: 7, 1, 9, 4.


def chosen(correct: str, wrong: str, fraction: float = 0.5, **other: Any) -> list[int]:
    wanted = SubgroupSpec.model_validate({"correct": correct, "wrong": wrong, "fraction": fraction} | other)
    indices: list[int] = choose_subgroup(wanted, TEN, seed=1).indices.tolist()
    return indices


@pytest.mark.parametrize(
    ("correct", "wrong", "expected"),
    [
        ("lc", "ls", [2, 8, 5, 7, 1]),
        ("lc", "hs", [2, 8, 5, 9, 4]),
        ("hc", "ls", [0, 3, 6, 7, 1]),
        ("hc", "hs", [0, 3, 6, 9, 4]),
    ],
)
def test_half_of_ten_images_by_the_definition(correct: str, wrong: str, expected: list[int]) -> None:
    assert sorted(chosen(correct, wrong)) == sorted(expected)


@pytest.mark.parametrize(
    ("correct", "wrong", "expected"),
    [
        # lc: the misclassified 1, 4, 7, 9 in file order come before every correct one; three are taken.
        # ls: the correct 0, 2, … in file order come before every misclassified one; two are taken.
        ("lc", "ls", [1, 4, 7, 0, 2]),
        ("lc", "hs", [1, 4, 7, 9, 4]),
        ("hc", "ls", [0, 3, 6, 0, 2]),
        ("hc", "hs", [0, 3, 6, 9, 4]),
    ],
)
def test_half_of_ten_images_as_published(correct: str, wrong: str, expected: list[int]) -> None:
    assert sorted(chosen(correct, wrong, selection="as_published")) == sorted(expected)


def test_as_published_goes_on_with_the_low_ones_when_the_others_are_used_up() -> None:
    # All six: the four misclassified, then 2 and 8. All four: the first four correct ones.
    assert sorted(chosen("lc", "ls", 1.0, selection="as_published")) == sorted([1, 4, 7, 9, 2, 8, 0, 2, 3, 5])


def test_duplicates_are_kept_and_counted() -> None:
    wanted = SubgroupSpec(correct="hc", wrong="ls", fraction=0.5, selection="as_published")
    subgroup = choose_subgroup(wanted, TEN, seed=1)
    assert (len(subgroup.indices), subgroup.repeated_draws, subgroup.correct, subgroup.wrong) == (5, 1, 3, 2)
    assert choose_subgroup(SubgroupSpec(correct="hc", wrong="ls", fraction=0.5), TEN, seed=1).repeated_draws == 0


def test_the_definition_leaves_nothing_to_chance() -> None:
    wanted = SubgroupSpec(correct="lc", wrong="hs", fraction=0.5)
    assert choose_subgroup(wanted, TEN, 1).indices.tolist() == choose_subgroup(wanted, TEN, 2).indices.tolist()


def test_halves_are_rounded_up_as_matlab_does() -> None:
    # 0.25 · 6 = 1.5 and 0.25 · 4 = 1; Python's round would make the first one 2 as well, but 0.5 · 5 = 2.5 a 2.
    assert subgroup_size(SubgroupSpec(correct="lc", wrong="ls", fraction=0.25), correct=6, wrong=4) == 3
    assert subgroup_size(SubgroupSpec(correct="lc", wrong="ls", fraction=0.5), correct=5, wrong=5) == 6
    # 0.35 · 10 is 3.5, although the nearest double of 0.35 lies below it.
    assert subgroup_size(SubgroupSpec(correct="lc", wrong="ls", fraction=0.35), correct=10, wrong=100) == 4 + 35


def test_the_sizes_of_the_paper() -> None:
    # 40,684 correct and 9,316 wrong in the authors' index files.
    wanted = SubgroupSpec(correct="hc", wrong="hs", fraction=0.25)
    assert subgroup_size(wanted, correct=40_684, wrong=9_316) == 10_171 + 2_329


def test_a_random_control_has_the_size_and_no_duplicates() -> None:
    wanted = SubgroupSpec(correct="lc", wrong="hs", fraction=0.5, selection="as_published", control="random")
    draws = [choose_subgroup(wanted, TEN, seed) for seed in range(50)]
    assert {len(draw.indices) for draw in draws} == {5}
    assert {draw.repeated_draws for draw in draws} == {0}
    assert {index for draw in draws for index in draw.indices.tolist()} == set(range(10))
    assert (draws[0].correct, draws[0].wrong) == (None, None)
    assert draws[7].indices.tolist() == choose_subgroup(wanted, TEN, 7).indices.tolist()


def test_a_stratified_control_has_as_many_of_each_class() -> None:
    for correct, wrong in (("lc", "ls"), ("hc", "hs"), ("hc", "ls")):
        wanted = SubgroupSpec.model_validate({"correct": correct, "wrong": wrong, "fraction": 0.5})
        subgroup = choose_subgroup(wanted, TEN, 1)
        control = choose_subgroup(wanted.model_copy(update={"control": "stratified"}), TEN, 1)
        assert np.bincount(LABELS[control.indices]).tolist() == np.bincount(LABELS[subgroup.indices]).tolist()
        assert control.repeated_draws == 0


def test_nothing_to_choose_from_is_told() -> None:
    perfect = ScoredImages(LABELS, LABELS, LARGEST, LARGEST)
    hopeless = ScoredImages(LABELS, 1 - LABELS, LARGEST, 1 - LARGEST)
    for scored, field, words in (
        (perfect, "subgroup.wrong", "misclassifies none"),
        (hopeless, "subgroup.correct", "no training image correctly"),
    ):
        for control in (None, "random", "stratified"):
            wanted = SubgroupSpec.model_validate({"correct": "lc", "wrong": "hs", "fraction": 0.5, "control": control})
            with pytest.raises(InvalidSpec, match=words) as caught:
                choose_subgroup(wanted, scored, 1)
            assert [error.field for error in caught.value.errors] == [field]


@st.composite
def scored_images(draw: st.DrawFn) -> ScoredImages:
    count = draw(st.integers(2, 40))
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))
    right = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    right[:2] = [True, False]
    largest = np.array(draw(st.lists(st.integers(40, 99), min_size=count, max_size=count))) / 100
    return ScoredImages(labels, np.where(right, labels, (labels + 1) % 3), largest, np.where(right, largest, 0.01))


@given(
    scored=scored_images(),
    correct=st.sampled_from(["lc", "hc"]),
    wrong=st.sampled_from(["ls", "hs"]),
    fraction=st.integers(1, 100),
    control=st.sampled_from([None, "random", "stratified"]),
    selection=st.sampled_from(["definition", "as_published"]),
)
def test_every_subgroup_has_the_promised_size_and_order(
    scored: ScoredImages, correct: str, wrong: str, fraction: int, control: str | None, selection: str
) -> None:
    document = {"correct": correct, "wrong": wrong, "fraction": fraction / 100, "control": control}
    wanted = SubgroupSpec.model_validate(document | {"selection": selection})
    subgroup = choose_subgroup(wanted, scored, 3)
    right = int(scored.correct.sum())
    assert len(subgroup.indices) == subgroup_size(wanted, correct=right, wrong=len(scored.labels) - right)
    if control is None and selection == "definition":
        # Nothing left out on the wrong side of anything taken.
        for mask, low in ((scored.correct, correct == "lc"), (~scored.correct, wrong == "ls")):
            taken = np.isin(np.arange(len(mask)), subgroup.indices) & mask
            left = mask & ~taken
            if taken.any() and left.any():
                edge = scored.largest[left].min() if low else scored.largest[left].max()
                assert (scored.largest[taken] <= edge).all() if low else (scored.largest[taken] >= edge).all()
