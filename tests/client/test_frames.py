"""Answers as DataFrames, and as what a notebook shows."""

import math

import pytest

from noisegate.api.answers import WorkerAnswer
from noisegate.client.answers import Batch, BatchLine, Card, Decision, Experiment, Results
from noisegate.client.frames import frame_of
from tests.client.samples import decision, experiment, model_card, results, row


def test_results_have_means_errors_and_n() -> None:
    single = row(1, n=1, accuracy={"mean": 0.5, "std": None, "standard_error": None, "n": 1}, confidence=None)
    frame = Results.model_validate(results(rows=[row(0), single]).model_dump()).to_frame()
    assert frame["accuracy"].tolist() == [0.9722, 0.5]
    assert frame["accuracy_standard_error"].iloc[0] == 0.0071
    assert frame["n"].tolist() == [3, 1]
    assert frame["noise.quantity"].tolist() == [0, 1]
    for name in ("accuracy_standard_error", "accuracy_std", "confidence"):
        assert frame[name].dtype == float, "a column of numbers, so that it can be drawn"
        assert math.isnan(frame[name].iloc[1])


def test_any_list_is_a_frame_with_paths_as_columns() -> None:
    workers = [WorkerAnswer.model_validate({"name": name, "extra": {"deep": 1}}) for name in ("a", "b")]
    assert frame_of(workers).to_dict("list") == {"name": ["a", "b"], "extra.deep": [1, 1]}


def test_many_decisions_are_a_frame_and_those_without_one_say_why() -> None:
    problem = {"status": 422, "code": "not-an-image", "title": "No image", "detail": "the image is text"}
    lines = [
        {"index": 0, "name": "a.png", "classification": decision(label="7").document(), "problem": None},
        {"index": 1, "name": "b.png", "classification": None, "problem": problem},
    ]
    frame = Batch(BatchLine.model_validate(line) for line in lines).to_frame()
    assert frame["name"].tolist() == ["a.png", "b.png"]
    assert frame["label"].tolist()[0] == "7"
    assert frame["label"].isna().tolist() == [False, True]
    assert frame["problem"].isna().tolist() == [True, False]
    assert frame["problem"].iloc[1] == "the image is text"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            Experiment.model_validate(experiment(name="<b>").model_dump()),
            ["&lt;b&gt;", "2 of 6 succeeded", "running, 40%"],
        ),
        (Results.model_validate(results().model_dump()), ["97.22 ± 0.71", "noise.quantity=1", "<td>3</td>"]),
        (Decision.model_validate(decision(label="<7>").model_dump()), ["&lt;7&gt;", "98.1%", "reject score 0.019"]),
        (Card.model_validate(model_card().model_dump()), ["72.72% of 1,234 test images", "uniform", "50.70%"]),
    ],
    ids=["experiment", "results", "decision", "card"],
)
def test_a_notebook_shows_answers_as_tables(answer: Experiment | Results | Decision | Card, words: list[str]) -> None:
    shown = answer._repr_html_()
    assert all(word in shown for word in words), shown
    assert "<b>" not in shown
