import hashlib
from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from tests.service.factories import onnx_bytes, served_model


def test_a_model_by_id_and_by_alias(client: TestClient, model: str) -> None:
    by_id, by_alias = client.get(f"/models/{model}").json(), client.get("/models/default").json()
    assert by_id == by_alias
    assert (by_id["id"], by_id["aliases"]) == (model, ["default"])
    assert (by_id["cell"], by_id["execution"], by_id["classes"]) == (0, 0, ["cat", "dog"])
    # Quantiles 0, 0.5 and 0.9 at the levels 0, 1/2 and 1: a share of 5 % lies above the last.
    assert (by_id["calibrated"], by_id["default_threshold"]) == (True, 0.9)
    assert by_id["files"]["onnx"]["sha256"] == hashlib.sha256(onnx_bytes([0, 5])).hexdigest()


def test_a_model_without_a_holdout_has_no_threshold(
    client: TestClient, model: str, sessions: Sessions, artefacts: Artefacts
) -> None:
    plain = served_model(sessions, artefacts, holdout_accuracy=None)
    found = client.get(f"/models/{plain}").json()
    assert (found["calibrated"], found["default_threshold"], found["aliases"]) == (False, None, [])


def test_a_model_says_which_way_each_score_points(client: TestClient, model: str) -> None:
    scores = client.get(f"/models/{model}").json()["scores"]
    directions = {name: score["higher_means"] for name, score in scores.items()}
    logits_say = dict.fromkeys(("msp", "max_logit", "energy"), "known")
    the_others = dict.fromkeys(("reject_score", "entropy", "knn", "mahalanobis", "vim"), "unknown")
    assert directions == logits_say | the_others
    assert "−E(x) = log Σ exp" in scores["energy"]["description"]


def test_models_of_one_experiment_and_of_all(
    client: TestClient, model: str, sessions: Sessions, artefacts: Artefacts
) -> None:
    other = served_model(sessions, artefacts)
    everything = client.get("/models").json()["items"]
    assert [item["id"] for item in everything] == [other, model]
    mine = client.get("/models", params={"experiment": everything[1]["experiment"]}).json()["items"]
    assert [item["id"] for item in mine] == [model]
    first = client.get("/models?limit=1").json()
    second = client.get("/models", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == [other, model]
    assert client.get("/models?cursor=x").status_code == 422


def test_results_name_the_best_model(client: TestClient, model: str) -> None:
    experiment = client.get(f"/models/{model}").json()["experiment"]
    found = client.get(f"/results/{experiment}").json()
    assert found["rows"][0]["best_model"] == model
    assert found["baseline_cell"] is None


@pytest.mark.parametrize(
    ("name", "key", "media_type"),
    [
        ("model.safetensors", "weights", "application/octet-stream"),
        ("model.json", "manifest", "application/json"),
        ("model.onnx", "onnx", "application/octet-stream"),
    ],
)
def test_files(client: TestClient, model: str, name: str, key: str, media_type: str) -> None:
    answer = client.get(f"/models/default/files/{name}")
    assert answer.headers["content-type"] == media_type
    assert name in answer.headers["content-disposition"]
    digest = client.get(f"/models/{model}").json()["files"][key]["sha256"]
    assert hashlib.sha256(answer.content).hexdigest() == digest


def test_unknown_models_and_files(shared_client: TestClient) -> None:
    assert shared_client.get("/models/mod_nothing").status_code == 404
    assert shared_client.get("/models/default/files/model.pt").status_code == 422
    assert shared_client.get("/models/mod_nothing/files/model.json").status_code == 404


def test_aliases_move(client: TestClient, model: str, sessions: Sessions, artefacts: Artefacts) -> None:
    other = served_model(sessions, artefacts)
    made = client.put("/aliases/champion", json={"model": "default"})
    assert (made.status_code, made.json()["name"], made.json()["model"]) == (200, "champion", model)
    assert client.put("/aliases/champion", json={"model": other}).json()["model"] == other
    listed = {item["name"]: item["model"] for item in client.get("/aliases").json()["items"]}
    assert listed == {"champion": other, "default": model}


@pytest.mark.parametrize(
    ("name", "request_", "status", "field"),
    [
        ("champion", {"json": {"model": "mod_nothing"}}, 404, "model"),
        ("champion", {"json": {}}, 422, "model"),
        ("champion", {"json": {"model": ""}}, 422, "model"),
        ("champion", {"json": {"model": "default", "force": True}}, 422, "force"),
        ("champion", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, None),
        ("champion", {"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, None),
        ("mod_champion", {"json": {"model": "default"}}, 422, "name"),
        ("Champion", {"json": {"model": "default"}}, 422, "name"),
        (".hidden", {"json": {"model": "default"}}, 422, "name"),
        ("x" * 101, {"json": {"model": "default"}}, 422, "name"),
    ],
)
def test_wrong_aliases(
    shared_client: TestClient, name: str, request_: dict[str, Any], status: int, field: str | None
) -> None:
    answer = shared_client.put(f"/aliases/{name}", **request_)
    assert answer.status_code == status, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ([field] if field else [])
    assert [item["name"] for item in shared_client.get("/aliases").json()["items"]] == ["default"]
