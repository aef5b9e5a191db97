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
from tests import factories
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
        assert not session.scalar(sa.select(experiments.any_late()))
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


# As far as the row says; no files lie behind it. 3.9 GB at 128 pixels.
MANY = 80_000
VIEW_BYTES = (MANY + 20) * 3 * 128**2


@pytest.fixture
def many(sessions: Sessions) -> str:
    """The name of a dataset of many photographs of 32 pixels."""
    with sessions.begin() as session:
        return factories.ready_dataset(session, "many", number=8, train_count=MANY).name


def test_no_room_for_what_is_made_of_the_images_first(many: str, artefacts: Artefacts, settings: Settings) -> None:
    """Neither posted nor planned: one view fits on the disk, and twice, as it lies there while it is made, does not."""
    left = artefacts.free_bytes() - round(1.5 * VIEW_BYTES)
    spec = {"dataset": many, "image_size": 128}
    with run_client(settings.model_copy(update={"min_free_bytes": left})) as client:
        for query in ("", "?dry_run=true"):
            full = client.post(f"/experiments{query}", json=spec)
            assert (full.status_code, full.json()["code"]) == (507, "storage-full")
            (error,) = full.json()["errors"]
            assert error["field"] == "image_size"
            assert "smaller image_size" in error["remedy"]
            what = f"making images at 128 pixels first takes {2 * VIEW_BYTES:,} bytes of the disk on the way"
            assert what in error["message"]
            assert f"this server leaves {left:,}" in error["message"]
        assert client.get("/experiments").json()["items"] == []
        assert client.post("/experiments", json={"dataset": many}).status_code == 202, "nothing is to be made of it"


def test_machines_that_share_artefacts_elsewhere_look_at_their_own_disks(many: str, settings: Settings) -> None:
    elsewhere = {"min_free_bytes": 2**62, "artefact_url": "file:///tmp/elsewhere"}
    with run_client(settings.model_copy(update=elsewhere)) as client:
        planned = client.post("/experiments?dry_run=true", json={"dataset": many, "image_size": 128})
    assert planned.status_code == 200


def test_a_dry_run_says_how_much_of_the_disk_is_taken(many: str, client: TestClient) -> None:
    planned = client.post("/experiments?dry_run=true", json={"dataset": many, "image_size": 128}).json()
    detail = "To be made first: images at 128 pixels. About 3.9 GB of the disk, 7.9 GB on the way."
    assert planned["disk"] == {"kept_bytes": VIEW_BYTES, "most_bytes": 2 * VIEW_BYTES, "detail": detail}
    assert client.post("/experiments?dry_run=true", json={"dataset": many}).json()["disk"] is None
