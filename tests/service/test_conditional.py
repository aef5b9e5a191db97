"""ETags of answers, and 304 to whoever has the answer already."""

import hashlib

import pytest
from starlette.testclient import TestClient

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from service.app import create_app
from tests.factories import claim_one, renew
from tests.service.factories import post_experiment

SPEC = {"dataset": "pets", "executions": 1, "training": {"epochs": 4}}


@pytest.fixture
def experiment(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> str:
    return post_experiment(client, sessions, artefacts, SPEC)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/experiments",
        "/experiments/{id}",
        "/experiments/{id}/executions",
        "/results/{id}",
        "/results/{id}/curves",
        "/results/{id}/figures",
        "/datasets/pets",
        "/datasets/pets/images/train/0.png",
        "/models",
        "/workers",
        "/presets/figure-9",
        "/backbones",
        "/noise/preview.png?family=solid",
        "/openapi.json",
    ],
)
def test_every_answer_in_one_piece_has_its_tag(client: TestClient, experiment: str, path: str) -> None:
    first = client.get(path.format(id=experiment))
    etag = first.headers["etag"]
    assert (first.status_code, etag) == (200, f'"{hashlib.sha256(first.content).hexdigest()}"')
    assert first.headers["cache-control"]
    again = client.get(path.format(id=experiment), headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert not {"content-type", "content-length"} & set(again.headers)
    for name in ("etag", "cache-control", "vary", "retry-after"):
        assert again.headers.get(name) == first.headers.get(name)


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),
        ('"other", W/{etag}', 304),
        ('"a,b" ,{etag},', 304),
        ("*", 304),
        (" * ", 304),
        ('"other"', 200),
        ('"*"', 200),
        ("", 200),
        ("{bare}", 200),
        ('{etag}x"', 304),
        ("\xff", 200),
    ],
)
def test_if_none_match(shared_client: TestClient, known: str, status: int) -> None:
    etag = shared_client.get("/aliases").headers["etag"]
    header = known.format(etag=etag, bare=etag.strip('"')).encode("latin-1")
    assert shared_client.get("/aliases", headers={b"If-None-Match": header}).status_code == status


def test_several_headers_are_one_list(shared_client: TestClient) -> None:
    etag = shared_client.get("/aliases").headers["etag"]
    headers = [("If-None-Match", '"other"'), ("If-None-Match", etag)]
    assert shared_client.get("/aliases", headers=headers).status_code == 304


def test_what_is_negotiated_has_tags_of_its_own(client: TestClient, experiment: str) -> None:
    json, csv = (client.get(f"/results/{experiment}", headers={"Accept": kind}) for kind in ("*/*", "text/csv"))
    assert json.headers["etag"] != csv.headers["etag"]
    assert json.headers["vary"] == csv.headers["vary"] == "Accept"
    other = client.get(f"/results/{experiment}", headers={"Accept": "text/csv", "If-None-Match": json.headers["etag"]})
    assert other.status_code == 200


def test_polls_change_with_the_experiment_and_with_nothing_else(
    client: TestClient, sessions: Sessions, experiment: str
) -> None:
    path = f"/experiments/{experiment}"
    waiting = client.get(path)
    with sessions.begin() as session:
        _, lease = claim_one(session)
        renew(session, lease, 30, epochs_done=1, images_per_second=10.0)
    running = client.get(path, headers={"If-None-Match": waiting.headers["etag"]})
    assert (running.status_code, running.json()["state"]) == (200, "running")
    assert running.json()["estimated_finish"] > running.json()["started_at"]
    same = client.get(path, headers={"If-None-Match": running.headers["etag"]})
    assert (same.status_code, same.headers["retry-after"]) == (304, "1")
    with sessions.begin() as session:
        renew(session, lease, 30, epochs_done=2)
    assert client.get(path, headers={"If-None-Match": running.headers["etag"]}).status_code == 200


def test_errors_files_and_other_methods_are_left_alone(shared_client: TestClient) -> None:
    star = {"If-None-Match": "*"}
    missing = shared_client.get("/experiments/exp_nothing", headers=star)
    assert (missing.status_code, "etag" in missing.headers) == (404, False)
    plan = shared_client.post("/experiments?dry_run=true", json={"dataset": "pets"}, headers=star)
    assert (plan.status_code, "etag" in plan.headers) == (200, False)
    file = shared_client.get("/models/default/files/model.json", headers=star)
    assert (file.status_code, len(file.headers["etag"])) == (200, 34), "starlette's own"


def test_the_document_tells_it() -> None:
    paths = create_app().openapi()["paths"]
    for path, operations in paths.items():
        operation = operations.get("get")
        if operation and path != "/models/{reference}/files/{name}":
            assert "304" in operation["responses"], path
            assert "ETag" in operation["responses"]["200"]["headers"], path
            assert [p["name"] for p in operation["parameters"]].count("If-None-Match") == 1, path
        for method, other in operations.items():
            assert method == "get" or "304" not in other["responses"], path
