"""Executions seen beside the others of their cell."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from noisegate.details import Details
from noisegate.judgement import Finding, Judgement, findings_in_cell, has_learnt

GUESSING = Finding(code="no_better_than_guessing", detail="it guesses", remedy="Train for longer.")


def judgement(
    accuracy: float, *, images: int = 100, most_frequent: float = 0.1, measured_on: str = "holdout", found: bool = False
) -> Judgement:
    return Judgement.model_validate(
        {
            "measured_on": measured_on,
            "images": images,
            "correct": round(accuracy * images),
            "most_frequent": most_frequent,
            "p_value": 0.5,
            "called_noise": 0.0,
            "findings": [GUESSING.model_dump()] if found else [],
        }
    )


def collapsed(*accuracies: float, images: int = 100, most_frequent: float = 0.1) -> list[int]:
    """The places of those that have collapsed."""
    cell = [judgement(accuracy, images=images, most_frequent=most_frequent) for accuracy in accuracies]
    return [place for place, found in enumerate(findings_in_cell(cell)) if [one.code for one in found] == ["collapsed"]]


@pytest.mark.parametrize(
    ("accuracies", "places"),
    [
        ((0.3, 0.96, 0.96), [0]),
        ((0.96, 0.3), [1]),
        ((0.3, 0.3, 0.96), [0, 1]),  # half of the others of each have learnt
        ((0.3, 0.3, 0.3, 0.96), []),  # most are like this: it is the recipe, not one execution
        ((0.94, 0.95, 0.96), []),
        ((0.6, 0.96, 0.96), []),  # worse, and more than half of what the others have learnt
        ((0.12, 0.13, 0.25), []),  # within chance at 100 images
        ((0.05, 0.06, 0.05), []),  # all below guessing
        ((0.96,), []),
        ((), []),
    ],
)
def test_who_has_collapsed(accuracies: tuple[float, ...], places: list[int]) -> None:
    assert collapsed(*accuracies) == places


def test_many_images_show_what_few_leave_to_chance() -> None:
    assert collapsed(0.12, 0.25, 0.25, images=50) == []
    assert collapsed(0.12, 0.25, 0.25, images=1000) == [0]


@given(
    correct=st.integers(0, 40), others=st.lists(st.integers(0, 40), min_size=1, max_size=5), share=st.floats(0.05, 0.9)
)
def test_the_rule_by_an_oracle(correct: int, others: list[int], share: float) -> None:
    """Below half of what the median of the others has learnt, and less likely than 1 in 1000 by scipy's binomial test."""
    ordered = sorted(others)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 80
    halfway = share + (middle - share) / 2
    expected = middle > share and correct / 40 < halfway
    if expected:
        expected = bool(binomtest(correct, 40, middle, alternative="less").pvalue < 0.001)
    accuracies = [correct / 40, *(other / 40 for other in others)]
    assert (0 in collapsed(*accuracies, images=40, most_frequent=share)) == expected


def test_what_it_shows_by_itself_comes_first_and_the_unjudged_stay_out() -> None:
    cell = [judgement(0.1, found=True), judgement(0.96), None, None]
    first, second, *unjudged = findings_in_cell(cell)
    assert [one.code for one in first] == ["no_better_than_guessing", "collapsed"]
    assert "10.0%" in first[1].detail
    assert "96.0%" in first[1].detail
    assert second == []
    assert unjudged == [[], []]
    assert findings_in_cell([judgement(0.3), None, None]) == [[]] * 3


def test_the_test_set_chooses_nothing() -> None:
    assert not has_learnt(judgement(0.1, found=True))
    assert has_learnt(judgement(0.1, found=True, measured_on="test"))
    assert has_learnt(judgement(0.9))
    assert has_learnt(None)


def test_details_from_before_judgements_are_not_judged_and_written_as_they_were() -> None:
    written = '{"subgroup":null,"scored":null,"measures":{},"figure":{}}'
    details = Details.model_validate_json(written)
    assert details.judgement is None
    assert details.model_dump_json() == written
    judged = Details(judgement=judgement(0.5))
    assert Details.model_validate(json.loads(judged.model_dump_json())) == judged
