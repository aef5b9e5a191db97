"""Figures over HTTP, from rows in a real database."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.details import Details
from noisegate.store import executions
from noisegate.store.artefacts import Artefacts
from noisegate.store.executions import ExecutionResult
from noisegate.store.sessions import Sessions
from tests.factories import claim_one, outcome
from tests.service.factories import post_experiment

SPEC: dict[str, Any] = {
    "dataset": "pets",
    "training": {"epochs": 2},
    "noise": {"family": "uniform"},
    "executions": 2,
    "sweep": {"noise.quantity": [0, 5]},
}
MAP = {"classes": ["A", "B"], "regions": ["A" * 50 + "B" * 51] * 101, "points": [[0.2, 0.5, "A"], [0.8, 0.5, "B"]]}


@pytest.fixture
def experiment(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> str:
    return post_experiment(client, sessions, artefacts, SPEC)


def finish_one(sessions: Sessions, found: ExecutionResult) -> None:
    with sessions.begin() as session:
        _, lease = claim_one(session)
        executions.record_success(session, lease, found)


def test_the_list_says_where_each_figure_is(client: TestClient, experiment: str) -> None:
    items = client.get(f"/results/{experiment}/figures").json()["items"]
    assert [(item["name"], item["title"]) for item in items] == [
        ("accuracy", "Test accuracy"),
        ("metrics", "All metrics"),
    ]
    for item in items:
        assert client.get(item["svg"]).headers["content-type"] == "image/svg+xml"
        assert client.get(item["png"]).headers["content-type"] == "image/png"


def test_a_figure_follows_the_experiment(client: TestClient, experiment: str, sessions: Sessions) -> None:
    path = f"/results/{experiment}/figures/accuracy.svg"
    before = client.get(path)
    assert b"no execution has finished yet" in before.content
    finish_one(sessions, outcome(0.75))
    after = client.get(path)
    assert b"running: 1 of 4 executions" in after.content
    assert after.headers["etag"] != before.headers["etag"]
    ET.fromstring(after.content)


def test_what_has_not_changed_is_not_sent_again(client: TestClient, experiment: str, sessions: Sessions) -> None:
    path = f"/results/{experiment}/figures/accuracy.png"
    first = client.get(path)
    assert first.content.startswith(b"\x89PNG")
    assert first.headers["cache-control"] == "no-cache"
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    finish_one(sessions, outcome(0.75))
    assert client.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_what_there_is_not(client: TestClient, experiment: str) -> None:
    unknown = client.get(f"/results/{experiment}/figures/figure-9.svg")
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"
    assert unknown.json()["remedy"] == "There are: accuracy, metrics."
    assert client.get(f"/results/{experiment}/figures/accuracy.pdf").status_code == 422
    assert client.get(f"/results/{experiment}/figures/accuracy").status_code == 404
    assert client.get("/results/exp_none/figures").status_code == 404
    assert client.get("/results/exp_none/figures/accuracy.svg").status_code == 404


def test_a_map_is_drawn_from_what_its_executions_left(client: TestClient, sessions: Sessions) -> None:
    spec = {"kind": "decision_map", "clusters": 2, "executions": 1, "sweep": {"noise_quantity": [0, 5]}}
    experiment = client.post("/experiments", json=spec).json()["id"]
    details = Details(measures={"area_A": 0.5, "area_B": 0.5, "area_noise": 0.0}, figure=MAP)
    finish_one(sessions, ExecutionResult(details=details, train_seconds=1.0, device="cpu", versions={}))
    svg = client.get(f"/results/{experiment}/figures/decision-map.svg").text
    assert "A\u00a050.0\u00a0%, B\u00a050.0\u00a0%, noise\u00a00.0\u00a0%" in svg
    # The second cell is still empty.
    assert svg.count("<!-- no execution has finished yet -->") == 1
