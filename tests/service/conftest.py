"""The real application on a migrated SQLite database, in process or on a socket."""

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from noisegate.disk import files_below
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.app import create_app
from service.upgrades import IgnoresUpgrades
from tests.conftest import PATIENCE, wait_until
from tests.service.factories import ready_dataset, served_model


@pytest.fixture
def settings(tmp_path: Path, migrated_database: Path, broker_url: str) -> Settings:
    return settings_in(tmp_path / "data", migrated_database, broker_url)


def settings_in(data_dir: Path, migrated_database: Path, broker_url: str) -> Settings:
    data_dir.mkdir()
    shutil.copy(migrated_database, data_dir / "noisegate.db")
    return Settings(data_dir=data_dir, broker_url=broker_url)


@pytest.fixture
def artefacts(settings: Settings) -> Artefacts:
    return Artefacts(settings.artefact_root)


@contextlib.contextmanager
def run_client(settings: Settings) -> Iterator[TestClient]:
    """The application in this process. Unforeseen errors come as answers, as they would over a socket."""
    with TestClient(create_app(settings), "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with run_client(settings) as client:
        yield client


@pytest.fixture
def model(sessions: Sessions, artefacts: Artefacts, client: TestClient) -> str:
    """The id of a model that calls everything a dog, which is also `default`; the client runs on the same database."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    return served_model(sessions, artefacts)


@pytest.fixture(scope="session")
def shared_client(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, broker_url: str
) -> Iterator[TestClient]:
    """One application, with the dataset `pets` and a model that is `default`, for all tests whose requests are refused."""
    settings = settings_in(tmp_path_factory.mktemp("shared") / "data", migrated_database, broker_url)
    artefacts = Artefacts(settings.artefact_root)
    with run_client(settings) as client:
        sessions = client.app_state["resources"].sessions
        with sessions.begin() as session:
            ready_dataset(session, artefacts)
        served_model(sessions, artefacts)
        yield client


@contextlib.contextmanager
def run_server(settings: Settings) -> Iterator[tuple[str, int]]:
    """The application behind uvicorn on a socket of its own; answers host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(settings)
        config = uvicorn.Config(app, http=IgnoresUpgrades, log_level="critical", timeout_keep_alive=600)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started, seconds=30, what="uvicorn has started")
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(timeout=30 * PATIENCE)


@pytest.fixture
def stored_files(settings: Settings) -> Callable[[], list[Path]]:
    """All files below the artefact root, scratch included."""
    return lambda: list(files_below(settings.artefact_root))
