"""Whether one execution has learnt, by its own answers."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from noisegate.evaluation.judging import TrainingFacts, judge, judge_outcome
from noisegate.judgement import Judgement, MeasuredOn
from noisegate.learning.cells import prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from tests.learning.factories import cell_data, experiment_spec, run_all, training_spec

LONG = TrainingFacts(updates=20_000, losses=(1.0, 0.7), noise_share=0.0)
LAYER = TrainingFacts(900, (1.0, 0.7), 0.0, few_updates=100, on_backbone=True)


def judged(
    called: list[int], labels: list[int], *, classes: int = 2, facts: TrainingFacts = LONG, on: MeasuredOn = "holdout"
) -> Judgement:
    """Of a network that calls images these outputs; noise is output number `classes`."""
    logits = np.eye(classes + 1, dtype=np.float32)[called]
    return judge(logits, np.array(labels), classes, facts, on)


def codes(found: Judgement) -> list[str]:
    return [finding.code for finding in found.findings]


def with_correct(correct: int, images: int) -> tuple[list[int], list[int]]:
    """Labels of two classes in turn, and answers of which so many are right."""
    labels = [place % 2 for place in range(images)]
    return [label if place < correct else 1 - label for place, label in enumerate(labels)], labels


@given(st.integers(1, 60), st.data())
def test_the_binomial_test_is_scipys(images: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, images))
    found = judged(*with_correct(correct, images))
    share = -(-images // 2) / images
    assert (found.images, found.correct, found.most_frequent) == (images, correct, share)
    # The chance of as many right or more; no verdict where even all right would not do.
    if binom.sf(images - 1, images, share) > 0.05:
        assert found.p_value is None
        assert codes(found) == []
    else:
        chance = binom.sf(correct - 1, images, share)
        assert found.p_value == pytest.approx(chance, rel=1e-9)
        assert codes(found) == (["no_better_than_guessing"] if chance > 0.05 else [])


def test_by_hand() -> None:
    """Ten images, five of each class: 8 right happen in (45 + 10 + 1) of 1024 cases, 9 in 11."""
    eight, nine = judged(*with_correct(8, 10)), judged(*with_correct(9, 10))
    assert [eight.p_value, nine.p_value] == pytest.approx([56 / 1024, 11 / 1024])
    assert (codes(eight), codes(nine)) == (["no_better_than_guessing"], [])
    assert "8 of 10" in eight.findings[0].detail
    assert "50.0%" in eight.findings[0].detail


def test_always_naming_the_most_frequent_class_is_guessing() -> None:
    found = judged([0] * 100, [0] * 90 + [1] * 10)
    assert found.accuracy == found.most_frequent == 0.9
    assert codes(found) == ["no_better_than_guessing"]


def test_most_known_images_called_noise() -> None:
    labels = [0, 1] * 20
    half = judged([2] * 20 + labels[20:], labels)
    more = judged([2] * 21 + labels[21:], labels)
    assert (half.called_noise, more.called_noise) == (0.5, 0.525)
    assert "called_noise" not in codes(half)
    assert codes(more)[0] == "called_noise"
    assert "noise.quantity" in more.findings[0].remedy
    # Of ten classes, what is not called noise may be right often enough.
    many = [place % 10 for place in range(100)]
    found = judged([10] * 60 + many[60:], many, classes=10)
    assert codes(found) == ["called_noise"]


@pytest.mark.parametrize(
    ("facts", "remedy"),
    [
        (TrainingFacts(50, (1.0, 0.9), 0.0), "50 weight updates, which is few: more training.epochs"),
        (TrainingFacts(20_000, (1.0, 1.1), 0.0), "a smaller training.learning_rate"),
        (TrainingFacts(20_000, (1.0, 0.99), 0.0), "a larger training.learning_rate"),
        (TrainingFacts(20_000, (1.0, 0.3), 0.0), "by heart"),
        # Four of five training images are noise: that the loss fell to 0.3 says nothing about the others.
        (TrainingFacts(20_000, (1.0, 0.3), 0.8), "20,000 weight updates: more training.epochs"),
        (TrainingFacts(20_000, (1.0, 0.7), 0.0), "20,000 weight updates: more training.epochs"),
        (TrainingFacts(20_000, (), 0.0), "a larger training.learning_rate"),
        # A layer on a backbone: another recipe is no remedy, another backbone is; and it needs fewer updates.
        (LAYER, "900 weight updates: more training.epochs, a larger training.learning_rate, or another backbone"),
        (dataclasses.replace(LAYER, updates=99), "99 weight updates, which is few"),
        (dataclasses.replace(LAYER, losses=(1.0, 0.99)), "a larger training.learning_rate, or another backbone"),
        (dataclasses.replace(LAYER, losses=(1.0, 0.1)), "a larger training.weight_decay, or another backbone"),
        (
            dataclasses.replace(LAYER, stopped_early=True),
            "900 weight updates and stopped early: a larger training.patience",
        ),
        # Few images, from scratch.
        (TrainingFacts(50, (1.0, 0.9), 0.0, few_images=True), '{"backbone": "tf_efficientnet_lite0"}'),
    ],
)
def test_remedies_fit_the_cause(facts: TrainingFacts, remedy: str) -> None:
    (found,) = judged([0] * 40, [0, 1] * 20, facts=facts).findings
    assert remedy in found.remedy
    assert not (facts.on_backbone and "one_cycle" in found.remedy)
    assert facts.few_images == ("tf_efficientnet_lite0" in found.remedy)


def test_without_a_holdout_the_test_set_marks_and_does_not_choose() -> None:
    found = judged([0] * 40, [0, 1] * 20, on="test")
    assert (found.measured_on, codes(found)) == ("test", ["no_better_than_guessing"])
    assert not found.chosen_against


@pytest.mark.parametrize("holdout", [0.2, 0])
def test_a_trained_execution_and_one_that_answers_nothing(holdout: float) -> None:
    cell = prepare_cell(experiment_spec(training=training_spec(epochs=12), holdout=holdout), cell_data(), 0)
    (outcome,) = run_all(cell, [1])
    assert isinstance(outcome, ExecutionOutcome)
    found = judge_outcome(cell, outcome)
    assert found.measured_on == ("holdout" if holdout else "test")
    assert found.images == len(cell.holdout_inputs if holdout else cell.test_images)
    assert found.accuracy == pytest.approx(outcome.holdout_accuracy if holdout else outcome.metrics.accuracy)
    assert found.findings == []
    called_noise = np.zeros_like(outcome.test_answers.logits)
    called_noise[:, -1] = 1
    answers = dataclasses.replace(outcome.test_answers, logits=called_noise)
    blind = dataclasses.replace(outcome, held=None, test_answers=answers)
    assert codes(judge_outcome(cell, blind)) == ["called_noise", "no_better_than_guessing"]
