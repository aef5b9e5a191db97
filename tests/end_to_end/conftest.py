"""One running Noisegate for all tests of this folder that leave it as they found it."""

from collections.abc import Iterator

import pytest

from noisegate.client import Noisegate
from noisegate.local import running as local


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Running]:
    # Data has a process of its own here, as in production; one that trains is enough, and a second takes seconds to start.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISEGATE_DATA_PROCESSES", "1")
        with local.running(tmp_path_factory.mktemp("whole"), 0, workers=1) as up:
            patch.undo()
            yield up


@pytest.fixture(scope="session")
def client(running: local.Running) -> Iterator[Noisegate]:
    with running.client() as opened:
        yield opened
