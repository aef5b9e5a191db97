"""The command, in this process, against a peer on a real socket."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from noisegate.client import Noisegate, cli
from noisegate.client.reports import warnings_about
from noisegate.spec import PretrainedExperiment, parse_spec
from tests.client.images import fill, png, two_classes
from tests.client.peer import Peer, Reply, json_reply, peer, problem_reply
from tests.client.samples import dataset, decision, experiment, model_card, report, results
from tests.conftest import PATIENCE


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    with peer() as running:
        monkeypatch.setenv("NOISEGATE_URL", running.url)
        yield running


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "spec.json"
    path.write_text('{"dataset": "digits"}')
    return str(path)


def test_run_prints_the_id_for_the_next_command(server: Peer, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    assert cli.run(["run", spec]) == 0
    assert capsys.readouterr().out == "exp_1\n"
    assert json.loads(server.requests[0].body) == {"dataset": "digits"}


def test_run_reads_standard_input(
    server: Peer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"dataset": "mine"}'))
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    assert cli.run(["run", "-"]) == 0
    assert json.loads(server.requests[0].body) == {"dataset": "mine"}


def test_card_says_what_a_model_can_do_and_cannot(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies("GET", "/models/mod_1/card", json_reply(model_card()))
    assert cli.run(["card", "mod_1"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for expected in (
        "accuracy 72.72% on 1,234 test images; calibration error 2.45%, 1.73% after temperature scaling",
        "at most 5% to be rejected: 4.91% of the test images (4.50% to 5.35%)",
        "AUROC 51.60% on average over 2 families of noise it was not trained on",
    ):
        assert expected in printed
    assert re.search(r"uniform +noise +yes +50.70% +0.60% +0.00%", printed)


def test_card_of_a_model_that_has_not_learnt(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    useless = model_card([{"code": "called_noise", "detail": "it calls 80% noise", "remedy": "Less noise."}])
    server.replies("GET", "/models/default/card", json_reply(useless))
    assert cli.run(["card"]) == 0
    assert "has not learnt: it calls 80% noise. Less noise." in capsys.readouterr().out


def test_card_of_a_model_without_a_holdout(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    unscaled = {"before": {"error": 0.0245, "bins": []}, "after": None}
    bare = model_card(temperature=None, false_reject=[], untrained_noise=None, calibration_error=unscaled)
    server.replies("GET", "/models/default/card", json_reply(bare))
    assert cli.run(["card"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "no threshold, as it was trained without a holdout" in printed
    assert "calibration error 2.45% area under" in printed


@pytest.mark.parametrize(("state", "status"), [("succeeded", 0), ("cancelled", 1)])
def test_run_and_watch_ends_with_the_table(
    server: Peer, spec: str, capsys: pytest.CaptureFixture[str], state: str, status: int
) -> None:
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    server.replies(
        "GET",
        "/experiments/exp_1",
        json_reply(experiment(), Retry_After="0"),
        json_reply(experiment(state=state, progress=1)),
    )
    server.replies("GET", "/results/exp_1", json_reply(results()))
    assert cli.run(["run", spec, "--watch"]) == status
    out = capsys.readouterr().out
    assert out.startswith("exp_1\ntraining  40%  2 of 6 executions")
    assert "97.22 ± 0.71" in out


def test_a_failed_experiment_tells_its_error(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"status": 500, "code": "worker-lost", "title": "Lost", "detail": "Three workers died on it.", "errors": []}
    server.replies("GET", "/experiments/exp_1", json_reply(experiment(state="failed", error=error)))
    server.replies("GET", "/results/exp_1", json_reply(results()))
    assert cli.run(["watch", "exp_1"]) == 1
    assert capsys.readouterr().err == "Lost (500 worker-lost)\n  Three workers died on it.\n"


def test_a_dry_run_shows_the_cells(server: Peer, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [{"cell": 0, "point": {}, "label": "all", "noise_images": 144, "training_images": 1581}]
    plan = {"dataset": {"name": "digits"}, "cells": cells, "cell_count": 1, "base": True, "executions": 4}
    plan["training_images"] = 4743
    server.replies("POST", "/experiments", json_reply(plan))
    assert cli.run(["run", spec, "--dry-run"]) == 0
    assert "1,581" in capsys.readouterr().out


def test_a_problem_is_one_message_with_field_and_remedy(
    server: Peer, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"field": "dataset", "message": "there is no dataset digits", "remedy": "Known: mine."}
    server.replies("POST", "/experiments", problem_reply(404, "not-found", title="No such thing", errors=[error]))
    assert cli.run(["run", spec]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "No such thing (404 not-found)\n  dataset: there is no dataset digits. Known: mine.\n"


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with peer() as gone:
        url = gone.url
    assert cli.run(["datasets", "--url", url]) == 1
    assert capsys.readouterr().err.endswith("Is `noisegate up` running?\n")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read: No such file"), ("{", "is not JSON: Expecting"), ("[]", "a spec is a JSON object")],
)
def test_a_spec_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "spec.json").write_text(content)
    assert cli.run(["run", str(tmp_path / "spec.json")]) == 1
    assert words in capsys.readouterr().err


def test_results_as_table_and_as_csv(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies(
        "GET", "/results/exp_1", json_reply(results()), Reply(200, b"cell,n\n", {"Content-Type": "text/csv"})
    )
    assert cli.run(["results", "exp_1"]) == 0
    assert "N/10,000" in capsys.readouterr().out
    assert cli.run(["results", "exp_1", "--csv"]) == 0
    assert capsys.readouterr().out == "cell,n\n"


def test_classify_one_image_in_detail(server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(b"an image")
    rejected = decision(rejected=True, reason="noise", label="noise")
    server.replies("POST", "/classify", json_reply(decision()), json_reply(rejected))
    for _ in range(2):
        options = ["--model", "best", "--max-false-reject", "0.01"]
        assert cli.run(["classify", str(tmp_path / "a.png"), *options]) == 0
    out = capsys.readouterr().out
    assert out.index("accepted as 7") < out.index("rejected: noise")
    assert [request.body for request in server.requests] == [b"an image"] * 2
    assert server.requests[0].query == {"model": "best", "max_false_reject": "0.01"}


def test_upload_waits_for_the_dataset(server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cats.zip").write_bytes(b"zip")
    server.replies("POST", "/datasets", json_reply(dataset(state="ingesting"), 202))
    server.replies(
        "GET", "/datasets/ds_1", json_reply(dataset(state="ingesting"), Retry_After="0"), json_reply(dataset())
    )
    server.replies("GET", "/datasets/cats/report", json_reply(report(notes=["`val` became test"])))
    assert cli.run(["upload", str(tmp_path / "cats.zip"), "--name", "cats", "--image-size", "16"]) == 0
    assert server.requests[0].query == {"name": "cats", "image_size": "16"}
    assert server.requests[0].headers["Content-Disposition"] == "attachment; filename*=UTF-8''cats.zip"
    shown = capsys.readouterr().out
    assert "1,437" in shown
    assert "class folders: 2 classes, 8 images to train on, 2 to test" in shown
    assert "dog/0.png, dog/1.png" in shown
    assert "`val` became test" in shown


def test_a_dry_run_of_an_upload_shows_the_report(
    server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cats.zip").write_bytes(b"zip")
    server.replies("POST", "/datasets", json_reply(report()))
    assert cli.run(["upload", str(tmp_path / "cats.zip"), "--bad-images", "skip", "--dry-run"]) == 0
    assert server.requests[0].query == {"bad_images": "skip", "dry_run": "true"}
    shown = capsys.readouterr().out
    assert "class folders: 2 classes, 8 images to train on, 2 to test" in shown
    assert "dog/0.png, dog/1.png" in shown
    assert "a.pdf, b.pdf and 3 more: is a PDF document" in shown


def test_an_upload_to_a_base(server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "new.zip").write_bytes(b"zip")
    frogs = {"name": "frog", "train": 2, "test": 0, "is_new": True}
    added = {"base": "pets", "train_count": 2, "test_count": 0, "known_count": 3, "classes": [frogs]}
    server.replies("POST", "/datasets", json_reply(dataset(), 202), json_reply(report(added=added)))
    server.replies("GET", "/datasets/ds_1", json_reply(dataset(base={"id": "ds_0", "name": "pets"})))
    server.replies("GET", "/datasets/more/report", json_reply(report(added=added)))
    for options in (["--name", "more"], ["--dry-run"]):
        assert cli.run(["upload", str(tmp_path / "new.zip"), "--base", "pets", *options]) == 0
        shown = capsys.readouterr().out
        assert "Added to pets: 2 images to train on, 0 to test (2 frog); 3 were in it already." in shown
    posted = [request.query for request in server.requests if request.method == "POST"]
    assert posted == [{"name": "more", "base": "pets"}, {"base": "pets", "dry_run": "true"}]


@pytest.mark.parametrize("options", [["--name", "again"], []])
def test_an_upload_that_is_there_already_says_so_and_tells_its_own_report(
    server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    folder = two_classes(tmp_path / "pets")
    server.replies("POST", "/datasets", json_reply(dataset(id="ds_2", name="again", state="ingesting"), 202))
    server.replies("GET", "/datasets/ds_2", json_reply(dataset(id="ds_1", name="first")))
    own = f"/datasets/{options[1] if options else 'ds_2'}/report"
    server.replies("GET", own, json_reply(report(notes=["of this upload"], duplicates_search="running")))
    assert cli.run(["upload", str(folder), *options]) == 0
    shown = capsys.readouterr().out
    said = "again is another name of first (ds_1)" if options else "there already, as first (ds_1)."
    assert said in shown
    assert "Note: of this upload." in shown
    assert "Copies: they are still looked for; `noisegate report` shows what is found." in shown
    assert "such as" not in shown, "the classes of a folder were shown before it was sent"


def test_a_search_for_copies_that_was_ended_is_told(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies("GET", "/datasets/pets/report", json_reply(report(duplicates_search="unfinished")))
    assert cli.run(["report", "pets"]) == 0
    assert "Copies: they were not looked for to the end" in capsys.readouterr().out


def test_refusals_name_the_options_of_the_command(
    server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cats.zip").write_bytes(b"zip")
    remedy = "send it again with bad_images=skip, or name its encoding: names=cp437 reads 'ü', names=latin-1 reads 'x'."
    error = {"field": "archive", "message": "validation=leave_out was asked for", "remedy": remedy}
    server.replies("POST", "/datasets", problem_reply(422, "invalid-archive", errors=[error]))
    assert cli.run(["upload", str(tmp_path / "cats.zip")]) == 1
    shown = capsys.readouterr().err
    assert "--validation leave_out was asked for" in shown
    assert "again with --bad-images skip, or name its encoding: --names cp437 reads 'ü', --names latin-1 reads" in shown


@pytest.mark.parametrize("command", ["upload", "train"])
def test_one_image_of_one_class_is_sent_if_there_is_a_base(
    server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    folder = fill(tmp_path / "one", {"cat/1.png": png(1)})
    assert cli.run([command, str(folder), "--base", "pets"]) == 1  # the peer has no such route
    assert "has a single image" not in capsys.readouterr().err
    assert server.requests[0].path in ("/datasets", "/presets/recommended")


def test_a_service_older_than_reports(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies("GET", "/datasets/ds_1/report", json_reply({"status": 404, "code": "not-found"}, 404))
    assert cli.run(["report", "ds_1"]) == 1
    assert list(warnings_about(Noisegate(server.url), "ds_1")) == []


def test_an_upload_that_fails_tells_why(server: Peer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cats.zip").write_bytes(b"zip")
    error = {"status": 422, "code": "invalid-archive", "title": "No archive", "detail": "One class only.", "errors": []}
    server.replies("POST", "/datasets", json_reply(dataset(state="ingesting"), 202))
    server.replies("GET", "/datasets/ds_1", json_reply(dataset(state="failed", error=error)))
    assert cli.run(["upload", str(tmp_path / "cats.zip")]) == 1
    assert "One class only." in capsys.readouterr().err


def test_torchvisions_alexnet_becomes_a_model(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies("POST", "/experiments", json_reply(experiment(dataset=None), 202))
    states = [experiment(state="running", progress=0), experiment(state="succeeded", progress=1)]
    server.replies("GET", "/experiments/exp_1", *(json_reply(state, Retry_After="0") for state in states))
    server.replies("GET", "/models", json_reply({"items": [{"id": "mod_9"}], "next_cursor": None}))
    assert cli.run(["models", "add-torchvision", "alexnet"]) == 0
    spec = {"kind": "pretrained", "network": "alexnet", "name": "torchvision AlexNet"}
    assert json.loads(server.requests[0].body) == spec
    assert parse_spec(spec) == PretrainedExperiment(name="torchvision AlexNet")
    assert server.requests[-1].query["experiment"] == "exp_1"
    *progress, model, hint = capsys.readouterr().out.splitlines()
    assert progress == ["exp_1   0%  running", "exp_1 100%  succeeded"]
    assert model == "mod_9"
    assert "noisegate alias default mod_9" in hint


def test_torchvisions_alexnet_that_cannot_be_had(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "source-unavailable", "title": "No source", "detail": "No route.", "remedy": "Put it there."}
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    server.replies("GET", "/experiments/exp_1", json_reply(experiment(state="failed", error=error)))
    assert cli.run(["models", "add-torchvision", "alexnet"]) == 1
    assert capsys.readouterr().err == "No source (source-unavailable)\n  No route.\n  Put it there.\n"


def test_torchvisions_alexnet_that_somebody_cancelled(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    server.replies("GET", "/experiments/exp_1", json_reply(experiment(state="cancelled")))
    assert cli.run(["models", "add-torchvision", "alexnet"]) == 1
    assert capsys.readouterr().err == "Experiment exp_1 was cancelled: there is no model.\n"


def test_lists_aliases_and_cancelling(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    lists = {"/datasets": [], "/experiments": [experiment(dataset=None)], "/models": []}
    for path, items in lists.items():
        server.replies("GET", path, json_reply({"items": items, "next_cursor": None}))
        assert cli.run([path.removeprefix("/")]) == 0
    server.replies("PUT", "/aliases/default", json_reply({"name": "default", "model": "mod_1"}))
    server.replies("POST", "/experiments/exp_1/cancel", json_reply(experiment(state="cancelling"), 202))
    capsys.readouterr()
    assert cli.run(["alias", "default", "mod_1"]) == 0
    assert cli.run(["cancel", "exp_1"]) == 0
    assert capsys.readouterr().out == "default → mod_1\ncancelling\n"


def test_deleting_tells_what_went(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    gone = {"cells": 2, "executions": 6, "models": ["mod_1"], "files": 3}
    server.replies("DELETE", "/experiments/exp_1", json_reply(gone))
    assert cli.run(["delete", "exp_1", "--dry-run"]) == 0
    assert server.requests[-1].query == {"dry_run": "true"}
    assert capsys.readouterr().out == "2 cells, 6 executions, 1 models would go with exp_1.\n"
    server.replies("DELETE", "/models/mod_1", json_reply({**gone, "cells": 0, "executions": 0}))
    assert cli.run(["delete", "mod_1"]) == 0
    assert capsys.readouterr().out == "mod_1 went, and nothing else.\n"
    server.replies("DELETE", "/datasets/ds_1", Reply(204, b""))
    assert cli.run(["delete", "ds_1"]) == 0
    assert capsys.readouterr().out == "ds_1 went, and nothing else.\n"
    for id in ("mod_1", "ds_1"):
        assert cli.run(["delete", id, "--dry-run"]) == 0
        assert server.requests[-1].query == {"dry_run": "true"}
        assert capsys.readouterr().out == f"{id} would go, and nothing else.\n"


def test_workers_are_listed_with_what_they_do(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    held = {"experiment": "exp_1", "cell": 0, "execution": 1, "epochs": 4, "epochs_done": 2}
    worker = {"name": "h:1:a", "device": "cpu", "processes": 2, "heartbeat_age_seconds": 1.2, "alive": True}
    busy = {**worker, "executions": [held], "images_per_second": 612.4}
    silent = {**worker, "name": "h:2:b", "heartbeat_age_seconds": 99, "alive": False}
    lost = {**silent, "executions": [], "images_per_second": 0}
    server.replies("GET", "/workers", json_reply({"items": [busy, lost]}))
    assert cli.run(["workers"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"h:1:a +cpu +1 of 2 +612 +1 s ago *\n", out)
    assert re.search(r"h:2:b +cpu +0 of 2 +99 s ago, lost", out)


def test_ctrl_c_while_watching_is_no_error(server: Peer) -> None:
    server.replies("GET", "/experiments/exp_1", json_reply(experiment(), Retry_After="60"))
    command = [sys.executable, "-m", "noisegate.client.cli", "watch", "exp_1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("training  40%")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20 * PATIENCE)
    assert process.returncode == 130
    assert errors == ""


def test_a_reader_that_goes_away_is_no_error(server: Peer) -> None:
    server.replies("GET", "/results/exp_1", Reply(200, b"x" * 10_000_000, {"Content-Type": "text/csv"}))
    command = [sys.executable, "-m", "noisegate.client.cli", "results", "exp_1", "--csv"]
    # Unbuffered, Python would lose what is left of a write that a pipe takes only half of, and say nothing.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
