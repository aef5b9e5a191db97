import contextlib
from pathlib import Path

import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.store import models, workers
from noisegate.store.artefacts import Artefacts
from noisegate.store.clock import seconds_now
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Worker
from tests.service.conftest import run_client
from tests.service.factories import ready_dataset, served_model


def test_index_and_liveness(client: TestClient) -> None:
    links = client.get("/").json()
    for name in ("docs", "openapi", "datasets", "experiments", "models", "aliases", "presets", "workers", "ready"):
        assert client.get(links[name]).status_code == 200, name
    assert client.get("/livez").json() == {"status": "ok"}


def test_a_fresh_installation_is_ready(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    checks = {"database": "ok", "broker": "ok", "worker": "none runs", "model": "no default model yet"}
    assert answer.json() == {"ready": True, "missing": ["worker", "model"], "checks": checks}


def test_a_worker_that_beats_is_not_missing(client: TestClient, sessions: Sessions, settings: Settings) -> None:
    with sessions.begin() as session:
        workers.beat(session, "w1", host="h", device="cpu", processes=1, version="1")
    found = client.get("/readyz").json()
    assert (found["checks"]["worker"], found["missing"]) == ("ok", ["model"])
    with sessions.begin() as session:
        session.execute(sa.update(Worker).values(beat_at=seconds_now() - settings.lease_seconds - 1))
    assert client.get("/readyz").json()["checks"]["worker"] == "none runs"


def test_the_default_model_has_to_load(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    broken = served_model(sessions, artefacts)
    with sessions.reading() as session:
        digest = models.get(session, broken).onnx_digest
    content = artefacts.read(digest)
    artefacts.delete(digest)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert answer.json()["missing"] == ["worker", "model"]
    assert f"model {broken} cannot be loaded" in answer.json()["checks"]["model"]
    artefacts.put_bytes(content)
    assert client.get("/readyz").json()["checks"]["model"] == "ok"


def test_a_broker_that_is_away(settings: Settings) -> None:
    away = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    with run_client(away) as client:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "ok")
        assert answer.json()["checks"]["broker"].startswith("does not answer")


def put_folder_in_place_of(file: Path) -> None:
    """Again, if the service's background has opened, and so made, the file meanwhile."""
    while not file.is_dir():
        for part in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            part.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):
            file.mkdir()


def test_a_database_that_is_away(client: TestClient, settings: Settings) -> None:
    file = settings.data_dir / "noisegate.db"
    put_folder_in_place_of(file)
    # The pool's connections would go on using the file that they hold open.
    client.app_state["resources"].sessions.engine.dispose()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "does not answer (OperationalError)")
    assert ready.json()["missing"] == ["database", "worker", "model"]
    assert client.get("/livez").status_code == 200
    answer = client.get("/datasets")
    assert (answer.status_code, answer.json()["code"]) == (503, "database-away")
    assert answer.headers["retry-after"] == "2"
    assert "noisegate.db" not in answer.text
