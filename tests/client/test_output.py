"""What commands print for programs, and what tables keep whole."""

import io
import json
import re
from collections.abc import Iterator

import pytest
from cyclopts import App
from rich.console import Console

from noisegate.api.answers import WorkerAnswer
from noisegate.api.model_answers import ModelAnswer
from noisegate.client import cli
from noisegate.client.listings import datasets_table, experiments_table, models_table
from tests.client.peer import Peer, json_reply, peer
from tests.client.samples import dataset, experiment, model_card, report, results

ID = f"exp_{0x0193A1B2C3D4E5F60718293A4B5C6D7E:032x}"
COMMANDS: dict[str, tuple[str, str, object, int]] = {
    "datasets": ("GET", "/datasets", {"items": [dataset(), dataset(id="ds_2")], "next_cursor": None}, 2),
    "experiments": ("GET", "/experiments", {"items": [experiment()], "next_cursor": None}, 1),
    "models": ("GET", "/models", {"items": [model_card().model], "next_cursor": None}, 1),
    "workers": ("GET", "/workers", {"items": [{"name": "Käthe", "processes": 2}]}, 1),
    "presets": ("GET", "/presets", {"items": [{"name": "table-3"}, {"name": "figure-9"}]}, 2),
    "backbones": ("GET", "/backbones", {"items": [{"name": "net"}], "total": 1, "next_cursor": None}, 1),
    "results exp_1": ("GET", "/results/exp_1", results(), 1),
    "watch exp_1": ("GET", "/results/exp_1", results(), 1),
    "cancel exp_1": ("POST", "/experiments/exp_1/cancel", experiment(state="cancelling"), 1),
    "report pets": ("GET", "/datasets/pets/report", report(), 1),
    "card": ("GET", "/models/default/card", model_card(), 1),
    "alias best mod_1": ("PUT", "/aliases/best", {"name": "best", "model": "mod_1"}, 1),
    "delete exp_1": ("DELETE", "/experiments/exp_1", {"cells": 1, "executions": 2, "models": [], "files": 0}, 1),
    "delete ds_1": ("DELETE", "/datasets/ds_1", {}, 1),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    with peer() as running:
        monkeypatch.setenv("NOISEGATE_URL", running.url)
        yield running


@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_what_the_service_answers(server: Peer, capsys: pytest.CaptureFixture[str], command: str) -> None:
    method, path, answer, lines = COMMANDS[command]
    server.replies("GET", "/experiments/exp_1", json_reply(experiment(state="succeeded")))
    server.replies(method, path, json_reply(answer))
    assert cli.run([*command.split(), "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == lines
    if command == "delete ds_1":
        assert printed == [{"dataset": "ds_1"}]
        return
    sent = json.loads(json_reply(answer).body)
    assert printed == sent.get("items", [sent])


def test_a_posted_experiment_as_json(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    server.replies("GET", "/presets", json_reply({"items": [{"name": "table-3"}]}))
    server.replies("POST", "/experiments", json_reply(experiment(), 202))
    assert cli.run(["run", "table-3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == experiment().document()


@pytest.mark.parametrize("columns", [20, 60, 80, 120])
def test_no_table_breaks_an_id_over_two_lines(columns: int) -> None:
    long_name = "a name that needs more room than there is " * 3
    model = model_card().model.model_copy(update={"id": ID, "experiment": ID.upper(), "aliases": [long_name]})
    tables = [
        (experiments_table([experiment(id=ID, name=long_name)]), [ID]),
        (datasets_table([dataset(id=ID, name=long_name)]), [ID]),
        (models_table([ModelAnswer.model_validate(model.model_dump())]), [ID, ID.upper()]),
    ]
    for table, ids in tables:
        text = io.StringIO()
        Console(file=text, width=columns).print(table, crop=False)
        assert all(re.search(rf"\b{id}\b", text.getvalue()) for id in ids), text.getvalue()


def test_completion_can_be_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["install-completion", "--help"]) == 0
    assert "shell" in capsys.readouterr().out
    assert "noisegate" in cli.app.generate_completion(shell="bash")


def test_a_worker_is_an_answer_like_all(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    whole = WorkerAnswer.model_validate({"name": "w", "processes": 1, "alive": True, "heartbeat_age_seconds": 1.0})
    server.replies("GET", "/workers", json_reply({"items": [whole.model_copy(update={"executions": []})]}))
    assert cli.run(["workers"]) == 0
    assert "1 s ago" in capsys.readouterr().out


def test_every_command_speaks_json_but_those_that_run_something() -> None:
    silent = set(_without_json(cli.app, ()))
    assert silent == {("up",), ("demo",), ("install-completion",)}


def _without_json(app: App, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        yield from _without_json(command, (*path, name))
        if command.default_command is None:
            continue
        if "--json" not in {option for one in command.assemble_argument_collection() for option in one.names}:
            yield (*path, name)


def test_no_word_is_broken_on_a_narrow_console() -> None:
    file = io.StringIO()
    console = Console(file=file, width=30)
    found = ModelAnswer.model_validate(model_card().model.document() | {"aliases": ["default", "photographs"]})
    console.print(models_table([found]), crop=False)
    words = set(re.findall(r"[\w]+", file.getvalue()))
    assert {found.id, found.experiment, "default", "photographs", "aliases", "experiment"} <= words
