"""A spec is parsed where it enters a process, and typed from there on: parses are counted by a kind that notes each."""

import json
from collections import Counter
from typing import Any

import pytest
from pydantic import ModelWrapValidatorHandler, model_validator
from starlette.testclient import TestClient

from noisegate.spec import KINDS, TrainingExperiment
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import Wakeups
from tests.factories import shades_spec, stored_dataset
from worker.resources import Resources
from worker.training import train_oldest

CELLS = 3
SPEC: dict[str, Any] = shades_spec(
    training={"epochs": 2}, executions=2, sweep={"noise.quantity": [0, 1, 2]}, keep_models="all"
).model_dump(mode="json")


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each document was parsed, by its JSON."""
    found: Counter[str] = Counter()

    class NotedExperiment(TrainingExperiment):
        @model_validator(mode="wrap")
        @classmethod
        def note(cls, document: Any, parse: ModelWrapValidatorHandler["NotedExperiment"]) -> "NotedExperiment":
            found[json.dumps(document, sort_keys=True)] += 1
            return parse(document)

    monkeypatch.setitem(KINDS, "training", NotedExperiment)
    return found


@pytest.fixture
def resources(settings: Settings, sessions: Sessions, artefacts: Artefacts, wakeups: Wakeups) -> Resources:
    with sessions.begin() as session:
        stored_dataset(session, artefacts)
    return Resources(settings.model_copy(update={"claim_capacity": 2}), sessions, artefacts, wakeups, worker="test")


@pytest.mark.usefixtures("resources")
@pytest.mark.parametrize("path", ["/experiments", "/experiments?dry_run=true"])
def test_a_post_parses_its_body_and_each_cell_once(client: TestClient, parsed: Counter[str], path: str) -> None:
    answer = client.post(path, json=SPEC)
    assert answer.is_success, answer.json()
    assert len(answer.json()["cells"]) == CELLS
    assert set(parsed.values()) == {1}
    assert len(parsed) == 1 + CELLS


def test_what_was_posted_is_parsed_once_by_whoever_reads_it(
    client: TestClient, resources: Resources, parsed: Counter[str]
) -> None:
    id = client.post("/experiments", json=SPEC).json()["id"]
    for _ in range(CELLS):
        parsed.clear()
        train_oldest(resources)
        assert parsed.total() == 1, "by the worker, of the cell whose two executions it trained"

    assert client.get(f"/experiments/{id}").json()["state"] == "succeeded"
    for path, most in {
        "/experiments": 1,
        f"/experiments/{id}": 1,
        f"/experiments/{id}/executions": 1,
        f"/experiments/{id}/events": 1,
        f"/results/{id}": 1 + CELLS,
        f"/results/{id}/figures": 1 + CELLS,
    }.items():
        parsed.clear()
        assert client.get(path, headers={"Accept": "application/json"}).is_success
        assert set(parsed.values()) <= {1}, path
        assert parsed.total() <= most, path
