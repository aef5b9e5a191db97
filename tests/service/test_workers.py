import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.store import workers
from noisegate.store.artefacts import Artefacts
from noisegate.store.clock import seconds_now
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Worker
from tests.factories import claim_one, renew
from tests.service.factories import post_experiment

SPEC = {"dataset": "pets", "executions": 3, "training": {"epochs": 4}}


@pytest.fixture
def beating(sessions: Sessions) -> None:
    """Two workers, the names of which begin alike."""
    with sessions.begin() as session:
        workers.beat(session, "gpu", host="h1", device="NVIDIA H200", processes=2, version="1.2")
        workers.beat(session, "gpu2", host="h2", device="cpu", processes=1, version="1.2")


def test_without_workers(client: TestClient) -> None:
    assert client.get("/workers").json() == {"items": []}


def test_who_holds_what(client: TestClient, sessions: Sessions, artefacts: Artefacts, beating: None) -> None:
    id = post_experiment(client, sessions, artefacts, SPEC)
    for owner, speed in (("gpu/1", 100.0), ("gpu/2", None), ("gpu2/1", 5.0)):
        with sessions.begin() as session:
            _, lease = claim_one(session, owner)
            renew(session, lease, 30, epochs_done=1, images_per_second=speed)
    first, second = client.get("/workers").json()["items"]
    assert (first["name"], first["host"], first["device"], first["processes"]) == ("gpu", "h1", "NVIDIA H200", 2)
    assert (first["alive"], first["images_per_second"], second["images_per_second"]) == (True, 100, 5)
    assert 0 <= first["heartbeat_age_seconds"] < 10
    assert first["started_at"].endswith("Z")
    assert [(held["experiment"], held["cell"], held["execution"]) for held in first["executions"]] == [
        (id, 0, 0),
        (id, 0, 1),
    ]
    (held,) = second["executions"]
    assert (held["execution"], held["epochs_done"], held["epochs"], held["images_per_second"]) == (2, 1, 4, 5)


def test_a_worker_not_heard_of_is_not_alive(
    client: TestClient, sessions: Sessions, settings: Settings, beating: None
) -> None:
    with sessions.begin() as session:
        late = seconds_now() - settings.lease_seconds - 1
        session.execute(sa.update(Worker).where(Worker.name == "gpu").values(beat_at=late))
    found = {item["name"]: item for item in client.get("/workers").json()["items"]}
    assert (found["gpu"]["alive"], found["gpu2"]["alive"]) == (False, True)
    assert found["gpu"]["heartbeat_age_seconds"] > settings.lease_seconds
