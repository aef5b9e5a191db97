"""One running Noisegate for all tests of this folder that leave it as they found it."""

from collections.abc import Iterator

import pytest

from noisegate.client.http import Client
from noisegate.local import running as local


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Running]:
    with local.running(tmp_path_factory.mktemp("whole"), 0) as up:
        yield up


@pytest.fixture(scope="session")
def client(running: local.Running) -> Iterator[Client]:
    with running.client() as opened:
        yield opened
