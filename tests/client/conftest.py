"""A real service for commands that send something; no worker takes what they send."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from noisegate.store.settings import Settings
from tests.service.conftest import run_server, settings_in


@pytest.fixture
def service_settings(tmp_path: Path, migrated_database: Path, broker_url: str) -> Settings:
    return settings_in(tmp_path / "data", migrated_database, broker_url)


@pytest.fixture
def service(service_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a service, which is also the one that commands ask."""
    with run_server(service_settings) as (host, port):
        url = f"http://{host}:{port}"
        monkeypatch.setenv("NOISEGATE_URL", url)
        yield url
