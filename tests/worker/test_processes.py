"""The processes of a worker: what they hold while they wait, and what their parent makes of their ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path

import psutil
import pytest

from noisegate.store import datasets, workers
from noisegate.store.settings import Settings
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from tests.worker.conftest import WorkerProcess, wait_until
from tests.worker.test_data_processes import archive
from worker.endings import Endings
from worker.resources import Resources

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"idle_seconds": 0.5, "lease_seconds": 600.0})


def _named(worker: WorkerProcess) -> dict[str, int]:
    return {child.name(): child.pid for child in worker.children()}


def _wait_for(worker: WorkerProcess, *names: str, other_than: int | None = None) -> int:
    """Until processes of these names run; returns the number of the last one."""

    def there() -> bool:
        found = _named(worker)
        return set(names) <= set(found) and found[names[-1]] != other_than

    wait_until(there, seconds=60, what=f"{names} run")
    return _named(worker)[names[-1]]


def test_processes_are_copies_of_a_parent_and_are_replaced_when_they_end_or_have_waited(
    resources: Resources, start_worker: StartWorker
) -> None:
    worker = start_worker(data_processes=2)
    uploads = _wait_for(worker, "reaper", "training-0", "data-0", "uploads")
    assert len(list(Path(f"/proc/{worker.process.pid}/task").iterdir())) == 1, "a fork copies one thread alone"
    _read_an_upload(resources)
    _wait_for(worker, "uploads", other_than=uploads)
    _is_not_missed_when_it_is_killed(worker, "reaper")
    _is_not_missed_when_it_is_killed(worker, "training-0")
    _says_that_it_runs(resources)
    assert '"process_ended"' in worker.log.read_text()
    family = [psutil.Process(worker.process.pid), *worker.children()]
    worker.terminate()
    assert worker.process.returncode == 0
    assert psutil.wait_procs(family, timeout=60)[1] == []


def _read_an_upload(resources: Resources) -> None:
    digest = resources.artefacts.put_bytes(archive(10))
    with resources.sessions.begin() as session:
        added = datasets.register(session, name="pets", source="upload", image_size=8, upload_digest=digest).dataset
    resources.wakeups.ingest(added.id)

    def is_ready() -> bool:
        with resources.sessions.reading() as session:
            return session.get_one(Dataset, added.id).state is DatasetState.READY

    wait_until(is_ready, seconds=60, what="the upload is ready")


def _is_not_missed_when_it_is_killed(worker: WorkerProcess, name: str) -> None:
    process = _wait_for(worker, name)
    os.kill(process, signal.SIGKILL)
    _wait_for(worker, name, other_than=process)


def _says_that_it_runs(resources: Resources) -> None:
    def age() -> float:
        with resources.sessions.reading() as session:
            return min(seen.heartbeat_age for seen in workers.seen(session))

    wait_until(lambda: age() < 2, seconds=20, what="the new reaper says that the worker runs")


def test_a_port_for_metrics_that_is_taken_ends_the_worker(settings: Settings, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        changed = settings.model_copy(update={"worker_metrics_port": taken.getsockname()[1], "worker_processes": 1})
        worker = WorkerProcess(changed, tmp_path / "worker.log")
        try:
            assert worker.process.wait(timeout=120) == os.EX_CONFIG
        finally:
            worker.kill()
    assert "metrics cannot be served" in worker.log.read_text()


def test_endings_are_told_and_told_again_to_a_reaper_that_is_started_anew() -> None:
    endings = Endings()
    first = endings.told_through(*Pipe(duplex=False))
    endings.note_end(7, -signal.SIGKILL)
    endings.note_end(8, 70)
    assert first.known() == {7: "was ended by SIGKILL, as when memory runs out", 8: "ended with exit code 70"}
    second = endings.told_through(*Pipe(duplex=False))
    endings.note_start(7)  # the system has given the number to another
    assert second.known() == {8: "ended with exit code 70"}


def test_a_reaper_that_is_gone_does_not_keep_its_parent_from_noting() -> None:
    endings = Endings()
    reader, writer = Pipe(duplex=False)
    endings.told_through(reader, writer)
    reader.close()
    endings.note_end(7, 0)
    assert endings.told_through(*Pipe(duplex=False)).known() == {7: "ended with exit code 0"}


@pytest.mark.parametrize("given", [None, ""])
def test_libraries_of_linear_algebra_have_one_thread_a_process(given: str | None) -> None:
    """As the parent loads them, so do all that are forked from it."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if given is not None:
        environment["OMP_NUM_THREADS"] = given
    code = (
        "import worker.processes, threadpoolctl; print([one['num_threads'] for one in threadpoolctl.threadpool_info()])"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    threads = json.loads(ended.stdout)
    assert threads
    assert set(threads) == {1}
