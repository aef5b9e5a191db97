"""A worker's resources within the test's own process, and real worker processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import Wakeups
from tests.conftest import PATIENCE, wait_until
from worker.resources import Resources

QUICK = {"device": "cpu", "lease_seconds": 4.0, "heartbeat_seconds": 0.5, "reaper_seconds": 0.5, "wakeup_seconds": 2.0}


# For what is claimed, renewed and recorded. All else asks the same of either database, and trains for seconds.
on_both_databases = pytest.mark.parametrize("database_kind", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)])
def database_kind(request: pytest.FixtureRequest) -> str:
    """At each commit, tests of workers run on SQLite, unless they say otherwise."""
    kind: str = request.param
    return kind


@pytest.fixture
def settings(settings: Settings, broker_url: str) -> Settings:
    """Settings with a broker, in which lost leases are noticed within seconds."""
    return settings.model_copy(update={"broker_url": broker_url, "min_free_bytes": 0, **QUICK})


@pytest.fixture
def resources(settings: Settings, sessions: Sessions, wakeups: Wakeups) -> Resources:
    """What a worker process would hold, for calling its functions here."""
    return Resources(settings, sessions, Artefacts(settings.artefact_root), wakeups, worker="test")


def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives another process these settings."""
    given = settings.model_dump(mode="json", exclude={"caps"}, exclude_none=True)
    return os.environ | {f"NOISEGATE_{name.upper()}": str(value) for name, value in given.items()}


class WorkerProcess:
    """`python -m worker.main`, or another program that is a worker, and its children."""

    def __init__(self, settings: Settings, log: Path, program: str = "worker.main") -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", program],
                env=environment(settings) | {"PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def ended(self) -> bool:
        return self.process.poll() is not None

    def terminate(self, seconds: float = 30) -> None:
        """SIGTERM, and wait for the graceful end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=PATIENCE * seconds)

    def kill(self) -> None:
        """End everything at once, whatever state it is in."""
        family = [*self.children(), psutil.Process(self.process.pid)] if not self.ended() else []
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=10 * PATIENCE)
        self.process.wait(timeout=10 * PATIENCE)


@pytest.fixture
def start_worker(settings: Settings, tmp_path: Path, wakeups: Wakeups) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers that train in one process each; whatever the test leaves running is killed."""
    started: list[WorkerProcess] = []

    def start(program: str = "worker.main", data_processes: int = 0) -> WorkerProcess:
        single = settings.model_copy(update={"worker_processes": 1, "data_processes": data_processes})
        worker = WorkerProcess(single, tmp_path / "worker.log", program)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()


__all__ = ["WorkerProcess", "on_both_databases", "wait_until"]
