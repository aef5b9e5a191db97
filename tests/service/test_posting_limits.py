"""How long an experiment may take, and how much this server takes on."""

from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.store import experiments
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Experiment
from tests.factories import claim_one
from tests.service.conftest import run_client
from tests.service.factories import ready_dataset

SPEC: dict[str, Any] = {
    "dataset": "pets",
    "noise": {"family": "uniform"},
    "executions": 2,
    "sweep": {"noise.quantity": [0, 1, 5]},
}


@pytest.fixture(autouse=True)
def pets(sessions: Sessions, artefacts: Artefacts) -> None:
    """The ready dataset `pets`."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)


def test_a_time_limit(client: TestClient, sessions: Sessions) -> None:
    plain = client.post("/experiments", json=SPEC).json()
    limited = client.post("/experiments?time_limit=0001.5e3", json=SPEC).json()
    assert (plain["time_limit"], limited["time_limit"]) == (None, 1500)
    assert plain["deadline"] is limited["deadline"] is None, "nothing counts while it waits"
    with sessions.begin() as session:
        assert not experiments.any_late(session)
        begun = [claim_one(session)[0].experiment_id for _ in range(7)]
    assert set(begun) == {plain["id"], limited["id"]}
    started = client.get(f"/experiments/{limited['id']}").json()
    runs = datetime.fromisoformat(started["deadline"]) - datetime.fromisoformat(started["started_at"])
    assert 1499 < runs.total_seconds() < 1510
    with sessions.begin() as session:
        claim_one(session)
    assert client.get(f"/experiments/{limited['id']}").json()["deadline"] == started["deadline"], "it starts once"
    with sessions.begin() as session:
        session.execute(sa.update(Experiment).values(deadline=Experiment.deadline - 2000))
        assert experiments.expire(session) == [limited["id"]]
    late = client.get(f"/experiments/{limited['id']}").json()
    assert (late["state"], late["error"]["code"]) == ("cancelling", "deadline-passed")
    assert client.get(f"/experiments/{plain['id']}").json()["state"] == "running"


@pytest.mark.parametrize("time_limit", ["0.99", "0", "-1", "nan", "inf", "2592001", "1e400", "soon", ""])
def test_no_time_limit(shared_client: TestClient, time_limit: str) -> None:
    answer = shared_client.post("/experiments", params={"time_limit": time_limit}, json=SPEC)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["time_limit"]


def test_more_than_the_server_takes_on(settings: Settings) -> None:
    with run_client(settings.model_copy(update={"max_queued_executions": 10})) as client:
        first = client.post("/experiments", json=SPEC)
        again = client.post("/experiments", json=SPEC)
        assert (first.status_code, again.status_code, again.json()["code"]) == (202, 429, "quota-exceeded")
        assert int(again.headers["retry-after"]) > 0
        assert "6 executions wait or run; with these 6 they would be over this server's 10" in again.json()["detail"]
        never = client.post("/experiments", json=SPEC | {"executions": 4})
        assert never.status_code == 422
        assert [(error["field"], error["remedy"]) for error in never.json()["errors"]] == [
            ("executions", "Ask for at most 10 executions in all cells together.")
        ]
        assert [item["id"] for item in client.get("/experiments").json()["items"]] == [first.json()["id"]]
        client.post(f"/experiments/{first.json()['id']}/cancel")
        assert client.post("/experiments", json=SPEC).status_code == 202


def test_a_full_disk(settings: Settings) -> None:
    with run_client(settings.model_copy(update={"min_free_bytes": 2**62})) as client:
        full = client.post("/experiments", json=SPEC)
        assert (full.status_code, full.json()["code"]) == (507, "storage-full")
        assert client.get("/experiments").json()["items"] == []
