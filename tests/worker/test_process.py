"""Real worker processes on a real broker and both databases: killed, drained, cancelled. More is done to them in tests/faults."""

import re
import signal
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from noisegate.store import executions, experiments, workers
from noisegate.store.settings import Settings
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from tests import factories
from tests.conftest import THOROUGH
from tests.worker.conftest import WorkerProcess, wait_until
from worker.resources import Resources

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A lease that no test waits for: whatever is noticed is noticed otherwise.

    Each loss costs the start of a process. That an execution is tried again after one, tests/faults shows at each commit.
    """
    return settings.model_copy(update={"lease_seconds": 120.0, "max_losses": 2 if THOROUGH else 1})


@pytest.fixture(autouse=True)
def _dataset(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)


def _post(resources: Resources, **changes: Any) -> str:
    with resources.sessions.begin() as session:
        experiment = factories.queued_experiment(session, factories.shades_spec(**changes))
    resources.wakeups.train(experiment.id, count=experiment.spec.executions)
    return experiment.id


def _experiment(resources: Resources, id: str) -> Experiment:
    with resources.sessions.reading() as session:
        return experiments.get(session, id)


def _executions(resources: Resources, id: str) -> list[Execution]:
    with resources.sessions.reading() as session:
        return list(executions.of_experiment(session, id))


def _wait_for_the_middle(resources: Resources, id: str) -> Execution:
    """Until an execution has done some epochs but not all."""
    met: list[Execution] = []

    def in_the_middle() -> bool:
        met.extend(row for row in _executions(resources, id) if 0 < row.epochs_done < row.epochs)
        return bool(met)

    wait_until(in_the_middle, seconds=60, what="an execution is in the middle of its epochs")
    return met[0]


def _wait_for_the_end(resources: Resources, id: str, seconds: float = 90) -> Experiment:
    wait_until(lambda: _experiment(resources, id).state.terminal, seconds=seconds, what="the experiment ends")
    return _experiment(resources, id)


def test_a_life(resources: Resources, start_worker: StartWorker) -> None:
    """One worker is looked at, has a training cancelled, its process killed, and is asked to end.

    In one test, as the start of a worker and of each process costs more than all that they do here.
    """
    worker = start_worker()
    _shows_itself_and_what_it_trains(resources)
    _hears_of_a_cancellation(resources)
    _fails_what_kills_its_process_each_time(resources)
    _gives_back_what_runs_and_leaves_no_process(resources, worker)


def _shows_itself_and_what_it_trains(resources: Resources) -> None:
    id = _post(resources, training={"epochs": 500})
    row = _wait_for_the_middle(resources, id)
    with resources.sessions.reading() as session:
        (seen,) = workers.seen(session)
    assert (seen.worker.processes, seen.worker.device, [held.id for held in seen.executions]) == (1, "cpu", [row.id])
    assert seen.heartbeat_age < resources.settings.lease_seconds
    _cancel(resources, id)


def _hears_of_a_cancellation(resources: Resources) -> None:
    id = _post(resources, training={"epochs": 500}, executions=2)
    _wait_for_the_middle(resources, id)
    _cancel(resources, id)
    assert {row.state for row in _executions(resources, id)} == {State.CANCELLED}


def _cancel(resources: Resources, id: str) -> None:
    with resources.sessions.begin() as session:
        experiments.cancel(session, id)
    # Long before the lease expires.
    assert _wait_for_the_end(resources, id).state is State.CANCELLED


def _fails_what_kills_its_process_each_time(resources: Resources) -> None:
    id = _post(resources, training={"epochs": 500})
    for _ in range(resources.settings.max_losses):
        _kill_process_that_trains(resources, id)
    assert _wait_for_the_end(resources, id).state is State.FAILED
    (row,) = _executions(resources, id)
    assert row.error is not None
    assert (row.error.code, row.error.worker) == ("worker-lost", row.owner)
    assert "was ended by SIGKILL" in row.error.detail


def _kill_process_that_trains(resources: Resources, id: str) -> None:
    losses = _executions(resources, id)[0].losses
    row = _wait_for_the_middle(resources, id)
    assert row.owner
    psutil.Process(int(row.owner.rpartition("/")[2])).send_signal(signal.SIGKILL)
    wait_until(lambda: _executions(resources, id)[0].losses > losses, seconds=20, what="the loss is noticed")


def _gives_back_what_runs_and_leaves_no_process(resources: Resources, worker: WorkerProcess) -> None:
    id = _post(resources, training={"epochs": 500})
    _wait_for_the_middle(resources, id)
    family = [psutil.Process(worker.process.pid), *worker.children()]
    worker.terminate(seconds=20)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    (row,) = _executions(resources, id)
    assert (row.state, row.owner, row.losses) == (State.QUEUED, None, 0)
    assert _experiment(resources, id).state is State.RUNNING
    with resources.sessions.reading() as session:
        assert workers.seen(session) == []


@pytest.mark.nightly
@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_process_whose_gpu_is_broken_is_replaced_and_the_execution_says_why(
    resources: Resources, start_worker: StartWorker
) -> None:
    worker = start_worker("tests.worker.broken_gpu")
    id = _post(resources)
    assert _wait_for_the_end(resources, id).state is State.FAILED
    (row,) = _executions(resources, id)
    assert row.error is not None
    assert row.error.detail.startswith("AcceleratorError: CUDA error: an illegal memory access was encountered")
    ended = re.findall(r'"process": (\d+), "exit_code": 70', worker.log.read_text())
    assert len(set(ended)) == row.losses == resources.settings.max_losses, "each attempt by a process of its own"
    assert row.error.worker == row.owner
    assert (row.owner or "").endswith(f"/{ended[-1]}")
