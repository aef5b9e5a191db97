"""`noisegate run` with presets, overrides and spec files, and `noisegate presets`, against a peer on a real socket."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noisegate.client import cli
from tests.client.peer import Peer, json_reply, peer
from tests.client.samples import experiment


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Peer]:
    scale = {"dataset": "cifar10", "cells": 17, "executions": 50, "epochs": 40}
    scales = dict.fromkeys(("paper", "quick", "smoke"), scale)
    preset = {"title": "Retraining [on] subgroups", "source": "Table 3", "description": "", "scales": scales}
    monkeypatch.chdir(tmp_path)
    with peer() as running:
        monkeypatch.setenv("NOISEGATE_URL", running.url)
        items = [{"name": "baseline", **preset}, {"name": "table-3", **preset}]
        running.replies("GET", "/presets", json_reply({"items": items}))
        running.replies("POST", "/experiments", json_reply(experiment(), 202))
        yield running


def posted(server: Peer) -> Any:
    assert server.requests[-1].method == "POST"
    return json.loads(server.requests[-1].body)


def test_a_preset_is_posted_by_name_with_what_is_to_differ(server: Peer) -> None:
    options = ["--executions", "3", "--scale", "smoke", "--dataset", "mine", "--seed", "7"]
    assert cli.run(["run", "table-3", *options]) == 0
    fields = {"executions": 3, "scale": "smoke", "dataset": "mine", "seed": 7}
    assert posted(server) == {"preset": "table-3", **fields}


def test_what_is_not_given_is_left_to_the_preset(server: Peer) -> None:
    (Path.cwd() / "baseline").mkdir()
    assert cli.run(["run", "baseline"]) == 0
    assert posted(server) == {"preset": "baseline"}


def test_neither_a_file_nor_a_preset(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["run", "table-4"]) == 1
    assert capsys.readouterr().err == "table-4 is neither a file nor a preset. Presets: baseline, table-3.\n"
    assert [request.method for request in server.requests] == ["GET"]


def test_a_file_wins_over_a_preset(server: Peer) -> None:
    (Path.cwd() / "table-3").write_text('{"dataset": "digits", "seed": 1}')
    assert cli.run(["run", "table-3", "--seed", "0", "--dataset", "mine"]) == 0
    assert posted(server) == {"dataset": "mine", "seed": 0}
    assert len(server.requests) == 1


def test_a_pipe_is_read(server: Peer) -> None:
    reader, writer = os.pipe()
    os.write(writer, b'{"dataset": "piped"}')
    os.close(writer)
    assert cli.run(["run", f"/dev/fd/{reader}"]) == 0
    os.close(reader)
    assert posted(server) == {"dataset": "piped"}


def test_a_spec_may_be_yaml(server: Peer) -> None:
    text = "name: 2026-11-22\ndataset: digits\nnoise: {family: uniform, quantity: 0.5}\nsweep: {holdout: [0, 0.1]}\n"
    (Path.cwd() / "spec.yaml").write_text(text)
    assert cli.run(["run", "spec.yaml"]) == 0
    noise = {"family": "uniform", "quantity": 0.5}
    assert posted(server) == {
        "name": "2026-11-22", "dataset": "digits", "noise": noise, "sweep": {"holdout": [0, 0.1]}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML: while parsing"),
        ("- 1\n", "a spec is a YAML object"),
        ("&a [*a]", "is not YAML: Circular"),
        ("!!python/object:os.system {}", "is not YAML: could not determine a constructor"),
    ],
)
def test_yaml_that_is_no_spec(server: Peer, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    (Path.cwd() / "spec.yml").write_text(text)
    assert cli.run(["run", "spec.yml"]) == 1
    assert words in capsys.readouterr().err
    assert server.requests == []


def test_only_presets_have_scales(
    server: Peer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (Path.cwd() / "spec.json").write_text('{"dataset": "digits"}')
    assert cli.run(["run", "spec.json", "--scale", "quick"]) == 1
    assert capsys.readouterr().err == "spec.json is a spec of its own: only presets have scales\n"
    monkeypatch.setattr("sys.stdin", io.StringIO('{"preset": "table-3"}'))
    assert cli.run(["run", "-", "--scale", "paper"]) == 0
    assert posted(server) == {"preset": "table-3", "scale": "paper"}


def test_presets_are_listed(server: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["presets"]) == 0
    out = capsys.readouterr().out
    assert out.index("baseline") < out.index("table-3")
    assert "Retraining [on] subgroups" in out
    assert "17" in out
