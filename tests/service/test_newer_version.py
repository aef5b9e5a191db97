"""Rows that a newer version wrote, while it is rolled out or after it was rolled back: they stand in lists as they are."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.store import executions, models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from tests.factories import claim_one, metrics, outcome, write_json
from tests.service.factories import png_bytes, ready_dataset, served_model

NEWER = {"kind": "dreaming", "sheep": 3}


@pytest.fixture
def posted(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> tuple[str, str]:
    """Two experiments, of which the second has a spec that this version cannot read."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    wanted = {"dataset": "pets", "executions": 1}
    known, newer = (client.post("/experiments", json=wanted).json() for _ in range(2))
    with sessions.begin() as session:
        write_json(session, "experiments.spec", newer["id"], NEWER)
        for execution in executions.of_experiment(session, newer["id"]):
            write_json(session, "cells.spec", execution.cell_id, NEWER)
    return known["id"], newer["id"]


def test_an_experiment_is_listed_with_its_spec_as_it_is(client: TestClient, posted: tuple[str, str]) -> None:
    known, newer = posted
    specs = {item["id"]: item["spec"] for item in client.get("/experiments").json()["items"]}
    assert (specs[newer], specs[known]["kind"]) == (NEWER, "training")
    assert client.get(f"/experiments/{newer}").json()["spec"] == NEWER
    assert client.post(f"/experiments/{newer}/cancel").json()["state"] == "cancelled"


def test_its_results_say_what_is_the_matter_and_others_are_there(client: TestClient, posted: tuple[str, str]) -> None:
    known, newer = posted
    refused = client.get(f"/results/{newer}")
    assert (refused.status_code, refused.json()["code"]) == (501, "newer-version")
    assert "dreaming" in refused.json()["detail"]
    assert "upgrade" in refused.json()["remedy"]
    assert client.get(f"/results/{known}").status_code == 200


@pytest.mark.parametrize("column", ["metrics", "details"])
def test_executions_are_listed_with_what_is_known_of_them(
    client: TestClient, sessions: Sessions, posted: tuple[str, str], column: str
) -> None:
    document: dict[str, Any] = metrics().model_dump(mode="json") | {"dreams": 0.5}
    with sessions.begin() as session:
        execution, lease = claim_one(session)
        executions.record_success(session, lease, outcome())
        write_json(session, f"executions.{column}", execution.id, document)
    (found,) = client.get(f"/experiments/{posted[0]}/executions").json()["items"]
    assert (found["state"], found[column]) == ("succeeded", document)


def test_a_model_that_cannot_be_read_is_not_offered(
    client: TestClient, sessions: Sessions, artefacts: Artefacts
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    known, newer = (served_model(sessions, artefacts) for _ in range(2))
    with sessions.begin() as session:
        document = models.get(session, newer).manifest.model_dump(mode="json")
        write_json(session, "models.manifest", newer, document | {"format": "noisegate-model-9"})
    assert [model["id"] for model in client.get("/models").json()["items"]] == [known]
    assert client.get(f"/models/{newer}").json()["code"] == "newer-version"
    headers = {"Content-Type": "image/png"}
    refused = client.post("/classify", params={"model": newer}, content=png_bytes(), headers=headers)
    assert refused.json()["code"] == "model-unusable", refused.json()
    assert "format: Input should be" in refused.json()["detail"]
