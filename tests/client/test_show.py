"""Tables and progress as a person sees them, in terminals of several widths and in files."""

import io
import re
from datetime import UTC, datetime

import pytest
from rich.console import Console, RenderableType

from noisegate.api.answers import PlanAnswer
from noisegate.api.model_answers import ModelAnswer
from noisegate.client.listings import datasets_table, experiments_table, models_table, plan_table
from noisegate.client.progress import ProgressDisplay, experiment_words
from noisegate.client.result_tables import results_table
from noisegate.client.show import console_for, decision_block
from tests.client.samples import DIGITS, dataset, decision, experiment, results, row

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def printed(shown: RenderableType, columns: int = 120) -> str:
    file = io.StringIO()
    console = console_for(file)
    console.width = columns
    console.print(shown)
    return file.getvalue()


def test_the_results_table_has_every_number_of_the_paper() -> None:
    text = printed(results_table(results(), 120))
    (line,) = [line for line in text.splitlines() if line.strip().startswith("noise.quantity=1")]
    assert re.sub(r"\s{2,}", " | ", line.strip()) == (
        "noise.quantity=1 | 97.22 ± 0.71 | 1.23 | 99.1 | 64.2 | 21.3 | 18.5 | 3 | +0.31 [-0.52, +1.14] | 0.321"
    )
    assert "baseline" in text
    assert "two cells on digits (succeeded)" in text


def test_in_a_narrow_terminal_the_difference_stands_below() -> None:
    text = printed(results_table(results(), 80), columns=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "97.22 ± 0.71" in text
    assert "0.31 percentage points above the baseline" in " ".join(text.split())
    assert "+0.31 [" not in text


def test_published_values_stand_beside_the_measured_ones() -> None:
    printed_value = {
        "accuracy": 0.6048,
        "accuracy_std": 0.0067,
        "confidence": None,
        "spuriousness": None,
        "true_class_probability": None,
        "noise_per_10000": None,
        "n": 50,
        "note": "most likely a misprint",
    }
    preset = {"name": "table-2", "scale": "quick", "source": "Table 2", "published_note": "From CIFAR-10 itself."}
    text = printed(results_table(results(rows=[row(0), row(1, published=printed_value)], preset=preset), 130), 130)
    assert "paper's A %" in text
    assert re.search(r"noise.quantity=0 +97.22 ± 0.71 +– ", text)
    assert re.search(r"noise.quantity=1 +97.22 ± 0.71 +60.48\*", text)
    assert "* noise.quantity=1: most likely a misprint" in text
    assert "From CIFAR-10 itself." in text


def test_a_kind_without_accuracies_shows_what_it_measures() -> None:
    nothing = {"accuracy": None, "confidence": None, "spuriousness": None, "true_class_probability": None}
    crossing = {"crossing": {"mean": 0.4999, "std": 0.01, "standard_error": 0.0042, "n": 3}}
    shown = row(0, measures=crossing, **nothing)
    text = printed(results_table(results(rows=[shown, row(1, **nothing)], dataset=None, kind="curve_fitting"), 120))
    assert "crossing" in text
    assert re.search(r"noise.quantity=0 +0.500 ± 0.004 +3", text)
    assert re.search(r"noise.quantity=1 +– +3", text)
    assert "A %" not in text


def test_a_table_without_values_yet() -> None:
    measures = ("accuracy", "confidence", "spuriousness", "true_class_probability", "noise_per_10000")
    empty = row(0, n=0, failed=1, best_model=None, **dict.fromkeys(measures))
    single = row(1, accuracy={"mean": 0.5, "std": None, "standard_error": None, "n": 1})
    text = printed(results_table(results(rows=[empty, single], baseline_cell=None), 120))
    assert "noise.quantity=0: 1 executions failed" in text
    assert re.search(r"noise.quantity=0 +– +– +– +– +– +– +0", text)
    assert re.search(r"noise.quantity=1 +50.00 +–", text)


def test_executions_that_have_not_learnt_are_told_with_the_remedy() -> None:
    noise = {"code": "called_noise", "detail": "it calls 80% noise", "remedy": "Less noise."}
    guess = {"code": "no_better_than_guessing", "detail": "it guesses", "remedy": "More epochs."}
    concerned = [
        {"execution": 0, "findings": [noise, guess]},
        {"execution": 2, "findings": [noise]},
    ]
    published = {"outcome": "none", "model": None, "sentence": "there is no default model", "remedy": "More epochs."}
    text = printed(results_table(results(rows=[row(0, not_learnt=concerned), row(1)], published=published), 120))
    assert text.splitlines()[-4:] == [
        "noise.quantity=0: 2 of 3 executions have not learnt",
        "  execution 0 (and 1 more): it calls 80% noise. Less noise.",
        "  execution 0: it guesses. More epochs.",
        "There is no default model. More epochs.",
    ]
    one = printed(results_table(results(rows=[row(0, not_learnt=concerned[1:])]), 120))
    assert "1 of 3 executions has not learnt" in one
    assert "not learnt" not in printed(results_table(results(), 120))


def test_a_difference_that_cannot_be_tested_is_still_shown() -> None:
    untested = {
        "accuracy": -0.0012,
        "low": None,
        "high": None,
        "p_value": None,
        "sentence": "cannot be tested at n = 1",
    }
    text = printed(results_table(results(rows=[row(0), row(1, difference=untested)]), 120))
    assert re.search(r"3 +-0.12 +–", text)


def test_an_accepted_image() -> None:
    text = printed(decision_block("seven.png", decision()))
    assert text.splitlines() == [
        "seven.png",
        "  accepted as 7",
        *[line for line in text.splitlines() if "█" in line or "·" in line],
        "  reject score 0.019, threshold 0.412 (rejects at most 5% of the known images)",
    ]
    assert re.search(r"  7 +█{20}  98.1%", text)
    assert re.search(r"  noise +·{20}   1.0%", text)
    assert "  0 " not in text  # only the three most probable classes


@pytest.mark.parametrize(("reason", "words"), [("noise", "noise"), ("low_confidence", "too little confidence")])
def test_a_rejected_image(reason: str, words: str) -> None:
    text = printed(decision_block("x", decision(rejected=True, reason=reason)))
    assert f"  rejected: {words} (nearest class 7)" in text


def test_a_model_without_threshold_and_noise_class_says_so() -> None:
    text = printed(decision_block("x", decision(threshold=None, noise_probability=None, note="It rejects nothing.")))
    assert "threshold" not in text
    assert "noise" not in text
    assert "  It rejects nothing." in text


def test_names_are_never_taken_for_markup() -> None:
    text = printed(datasets_table([dataset(name="[red]cats[/] :cat:")]))
    assert "[red]cats[/] :cat:" in text


def test_a_failed_dataset_tells_why() -> None:
    error = {"status": 422, "code": "invalid-archive", "title": "", "detail": "There is one class.", "errors": []}
    assert "failed: There is one class." in printed(datasets_table([dataset(state="failed", error=error)]))


def test_a_weight_decay_that_was_chosen_is_told() -> None:
    tried = [{"weight_decay": 0.1, "log_loss": 0.7123}, {"weight_decay": 0.3, "log_loss": 0.6871}]
    chosen = {"weight_decay": 0.3, "folds": 5, "candidates": tried}
    text = printed(results_table(results(rows=[row(0, regularisation=chosen), row(1)]), 100))
    told = "noise.quantity=0: weight decay 0.3, the best of 2 by cross-validation, log loss 0.687"
    assert [line for line in text.splitlines() if "weight decay" in line] == [told]


def test_lists() -> None:
    assert re.search(
        r"exp_1 +two cells +running +digits +2 +6 +40% +2026-11-22 10:00", printed(experiments_table([experiment()]))
    )
    model = {
        "id": "mod_1", "aliases": ["default", "best"], "experiment": "exp_1", "cell": 1, "has_noise_class": True,
        "classes": ["0", "1"], "holdout_accuracy": 0.975, "default_threshold": None,
    }  # fmt: skip
    text = printed(models_table([ModelAnswer.model_validate(model)]))
    assert re.search(r"mod_1 +default, best +exp_1 +1 +yes +2 +97.50% +–", text)
    by_folds = model | {"promise": {"source": "cross_validated"}}
    assert "97.50% cross-validated" in printed(models_table([ModelAnswer.model_validate(by_folds)]))
    cells = [{"cell": 0, "point": {}, "label": "all", "noise_images": 0, "training_images": 1437}]
    plan = {"dataset": DIGITS, "cells": cells, "cell_count": 1, "base": False, "executions": 3, "training_images": 4311}
    text = printed(plan_table(PlanAnswer.model_validate(plan)))
    assert re.search(r"0 +all +0 +1,437", text)
    assert "3 executions, 4,311 training images in all. Nothing was created." in text
    told = {
        "choice": {"name": "paper_few", "title": "The network", "reason": "The network: it has few images."},
        "warnings": [{"field": "training.epochs", "detail": "It makes 5 updates.", "remedy": "More epochs."}],
        "estimate": {"minutes": None, "detail": "How long it takes cannot be said."},
        "disk": {"kept_bytes": 1, "most_bytes": 2, "detail": "To be made first: images at 224 pixels."},
    }
    text = printed(plan_table(PlanAnswer.model_validate(plan | told)))
    for line in (
        "The network: it has few images.",
        "Beware: It makes 5 updates. More epochs.",
        "How long it takes cannot be",
        "To be made first: images at 224",
    ):
        assert line in text


def test_experiment_words() -> None:
    now = datetime(2026, 11, 22, 10, 1, 3, tzinfo=UTC)
    assert experiment_words(experiment(), now) == "2 of 6 executions, 36 of 90 epochs, 0:12 left"
    view = {"id": "der_1", "kind": "view", "state": "running", "images_done": 1500, "images": 4317}
    features = {"id": "der_2", "kind": "features", "state": "waiting", "images_done": 0, "images": None}
    before = experiment(epochs_done=0, waits_for=[view, features])
    assert (
        experiment_words(before, now) == "view of 1,500 of 4,317 images, then waiting for a worker to make the features"
    )
    assert experiment_words(experiment(waits_for=[view]), now).startswith("2 of 6 executions"), (
        "others are trained already"
    )
    counts = {"queued": 0, "running": 0, "succeeded": 5, "failed": 1, "cancelled": 0}
    ended = experiment(state="failed", counts=counts, epochs_done=90, estimated_finish=None)
    assert experiment_words(ended, now) == "6 of 6 executions, 90 of 90 epochs, 1 failed"


def test_progress_in_a_file_is_a_line_now_and_then() -> None:
    file, now = io.StringIO(), 0.0
    with ProgressDisplay(console_for(file), "training", clock=lambda: now) as progress:
        for percent in range(101):
            progress.show(percent / 100, f"{percent} of 100")
        for now in (1.0, 29.0, 31.0):  # noqa: B007  the clock reads it
            progress.show(1.0, "still at it")
        progress.show(1.0, "all ended")
    lines = file.getvalue().splitlines()
    assert lines[0] == "training   0%  0 of 100"
    assert len(lines) == 14
    # All epochs may be done before all executions have ended: what is said last is always printed.
    assert lines[-4:] == [
        f"training 100%  {words}" for words in ("100 of 100", "still at it", "still at it", "all ended")
    ]
    assert not CONTROL.search(file.getvalue())


def test_what_ended_short_of_its_epochs_is_told_in_a_file_too() -> None:
    file = io.StringIO()
    counts = {"queued": 0, "running": 0, "succeeded": 2, "failed": 0, "cancelled": 4}
    with ProgressDisplay(console_for(file), "training", clock=lambda: 0.0) as progress:
        progress.show_experiment(experiment())
        progress.show_experiment(experiment(state="cancelled", counts=counts, estimated_finish=None))
    assert file.getvalue().splitlines()[-1] == "training  40%  6 of 6 executions, 36 of 90 epochs, 4 cancelled"


def test_progress_in_a_terminal_is_one_line_that_changes() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, markup=False)
    with ProgressDisplay(console, "training") as progress:
        progress.show_experiment(experiment())
        progress.show_experiment(experiment(progress=1.0, epochs_done=90, state="succeeded"))
    text = file.getvalue()
    assert "\x1b[?25l" in text  # the cursor is hidden …
    assert text.index("\x1b[?25h") > 0  # … and comes back
    assert "90 of 90 epochs" in text
    assert text.count("\n") == 1
