"""What is deleted over HTTP, and what is not."""

import re
from collections.abc import Callable
from pathlib import Path

from starlette.testclient import TestClient

from noisegate.decision_rule import DecisionRule
from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.conftest import wait_until
from tests.service.conftest import run_client
from tests.service.factories import png_bytes, post_experiment, ready_dataset, served_model

PNG = {"Content-Type": "image/png"}


def experiment_of(client: TestClient, model: str) -> str:
    return str(client.get(f"/models/{model}").json()["experiment"])


def test_an_experiment_goes_with_all_it_has(
    client: TestClient, model: str, stored_files: Callable[[], list[Path]]
) -> None:
    experiment = experiment_of(client, model)
    path = f"/experiments/{experiment}"
    aliased = client.delete(path)
    assert (aliased.status_code, aliased.json()["errors"][0]["field"]) == (409, "alias")
    assert client.delete("/aliases/default").status_code == 204
    before = len(stored_files())
    expected = {"experiment": experiment, "cells": 1, "executions": 1, "models": [model], "files": 3}
    planned = client.delete(f"{path}?dry_run=true")
    assert (planned.status_code, planned.json()) == (200, expected)
    assert (client.get(path).status_code, len(stored_files())) == (200, before)
    deleted = client.delete(path)
    assert (deleted.status_code, deleted.json()) == (200, expected)
    assert len(stored_files()) == before - 3
    for gone in (path, f"{path}/executions", f"{path}/events", f"/results/{experiment}", f"/models/{model}"):
        assert client.get(gone).status_code == 404, gone
    assert client.delete(path).status_code == client.delete(f"{path}?dry_run=true").status_code == 404
    assert client.get("/datasets/pets").status_code == 200


def test_an_experiment_that_has_not_ended_stays(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> None:
    id = post_experiment(client, sessions, artefacts, {"dataset": "pets", "executions": 4})
    for query in ("", "?dry_run=true"):
        answer = client.delete(f"/experiments/{id}{query}")
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "cancel" in answer.json()["errors"][0]["remedy"]
    client.post(f"/experiments/{id}/cancel")
    assert client.delete(f"/experiments/{id}").json()["executions"] == 4
    assert client.get("/experiments").json()["items"] == []


def test_a_model_goes_alone(client: TestClient, model: str, sessions: Sessions, artefacts: Artefacts) -> None:
    # Its ONNX file and its description are those of `model` too, and stay as long as one of them names them.
    other = served_model(sessions, artefacts)
    experiment = experiment_of(client, other)
    deleted = client.delete(f"/models/{other}")
    assert (deleted.status_code, deleted.json()) == (
        200,
        {"experiment": None, "cells": 0, "executions": 0, "models": [other], "files": 1},
    )
    assert client.get(f"/models/{other}").status_code == client.delete(f"/models/{other}").status_code == 404
    assert client.get(f"/results/{experiment}").json()["rows"][0]["best_model"] is None
    assert client.get(f"/models/{model}/files/model.onnx").status_code == 200


def test_a_dry_run_of_every_deletion_changes_nothing(
    client: TestClient,
    model: str,
    sessions: Sessions,
    artefacts: Artefacts,
    stored_files: Callable[[], list[Path]],
) -> None:
    other = served_model(sessions, artefacts)
    with sessions.begin() as session:
        spare = ready_dataset(session, artefacts, "spare", number=2).id
        models.set_rule(session, other, DecisionRule.of("knn"))
    targets = {
        "/experiments/{experiment_id}": experiment_of(client, other),
        "/models/{reference}": other,
        "/models/{reference}/decision": other,
        "/aliases/{name}": "default",
        "/datasets/{reference}": spare,
    }
    document = client.get("/openapi.json").json()["paths"]
    assert set(targets) == {path for path, operations in document.items() if "delete" in operations}, "of all routes"

    def everything() -> list[object]:
        listed = ("/experiments", "/models", "/aliases", "/datasets")
        return [*(client.get(path).json() for path in listed), sorted(stored_files())]

    before = everything()
    for path, id in targets.items():
        url = re.sub(r"\{\w+\}", id, path)
        assert client.delete(f"{url}?dry_run=true").status_code in (200, 204), path
        assert everything() == before, path
    assert client.delete(f"/models/{model}?dry_run=true").status_code == 409, "what would be refused is refused"
    assert client.delete("/datasets/pets?dry_run=true").status_code == 409


def test_a_model_with_a_name_stays(client: TestClient, model: str) -> None:
    for reference in (model, "default"):
        answer = client.delete(f"/models/{reference}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "alias")
    assert client.get(f"/models/{model}").json()["aliases"] == ["default"]


def test_aliases(client: TestClient, model: str) -> None:
    assert client.delete("/aliases/default").content == b""
    assert client.get("/aliases").json() == {"items": []}
    again = client.delete("/aliases/default")
    assert (again.status_code, again.json()["errors"][0]["field"]) == (404, "name")
    assert client.delete("/aliases/No%20name").status_code == 422
    assert client.post("/classify", content=png_bytes(), headers=PNG).status_code == 404


def test_a_deleted_model_is_not_served_for_long(
    settings: Settings, sessions: Sessions, artefacts: Artefacts, model: str
) -> None:
    with run_client(settings.model_copy(update={"alias_refresh_seconds": 0.3})) as client:

        def classify() -> int:
            return client.post(f"/classify?model={model}", content=png_bytes(), headers=PNG).status_code

        assert classify() == 200
        client.delete("/aliases/default")
        assert client.delete(f"/models/{model}").status_code == 200
        wait_until(lambda: classify() == 404, seconds=2, what="the model is unknown")
