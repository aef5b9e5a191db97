"""Real worker processes on a real broker and both databases: killed, drained, left without a message."""

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
from tests.worker.conftest import WorkerProcess, wait_until
from worker.resources import Resources

StartWorker = Callable[[], WorkerProcess]

# Long enough to be met in the middle, short enough to be done twice.
LONG = {"epochs": 300}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A lease that no test waits for: whatever is noticed is noticed otherwise."""
    return settings.model_copy(update={"lease_seconds": 120.0})


def _post(resources: Resources, *, wake: bool = True, **changes: Any) -> str:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
        experiment = factories.queued_experiment(session, factories.shades_spec(**changes))
    if wake:
        resources.wakeups.train(experiment.id, count=experiment.spec["executions"])
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


def test_kill_9_in_the_middle_costs_seconds_and_changes_nothing(
    resources: Resources, start_worker: StartWorker
) -> None:
    worker = start_worker()
    id = _post(resources, training=LONG)
    victim = _wait_for_the_middle(resources, id)
    assert victim.owner is not None
    pid = int(victim.owner.rpartition("/")[2])
    assert pid in {child.pid for child in worker.children()}
    psutil.Process(pid).send_signal(signal.SIGKILL)
    # Its parent sees it die: nobody waits for the lease.
    wait_until(lambda: _executions(resources, id)[0].losses == 1, seconds=20, what="the loss is noticed")
    assert _wait_for_the_end(resources, id).state is State.SUCCEEDED
    (row,) = _executions(resources, id)
    assert (row.state, row.attempt, row.losses) == (State.SUCCEEDED, 2, 1)
    undisturbed = _post_again_and_train(resources)
    assert row.losses_by_epoch == undisturbed.losses_by_epoch
    assert row.metrics == undisturbed.metrics
    worker.terminate()


def _post_again_and_train(resources: Resources) -> Execution:
    with resources.sessions.begin() as session:
        experiment = factories.queued_experiment(session, factories.shades_spec(training=LONG))
    resources.wakeups.train(experiment.id)
    _wait_for_the_end(resources, experiment.id)
    return _executions(resources, experiment.id)[0]


def test_an_execution_that_kills_its_process_each_time_fails_and_says_how(
    resources: Resources, start_worker: StartWorker
) -> None:
    start_worker()
    id = _post(resources, training={"epochs": 500})
    for _ in range(resources.settings.max_losses):
        _kill_whoever_trains(resources, id)
    assert _wait_for_the_end(resources, id).state is State.FAILED
    (row,) = _executions(resources, id)
    assert row.error is not None
    assert (row.error["code"], row.error["worker"]) == ("worker-lost", row.owner)
    assert "was ended by SIGKILL" in row.error["detail"]


def _kill_whoever_trains(resources: Resources, id: str) -> None:
    losses = _executions(resources, id)[0].losses
    row = _wait_for_the_middle(resources, id)
    assert row.owner
    psutil.Process(int(row.owner.rpartition("/")[2])).send_signal(signal.SIGKILL)
    wait_until(lambda: _executions(resources, id)[0].losses > losses, seconds=20, what="the loss is noticed")


def test_a_worker_shows_itself_and_what_it_trains(resources: Resources, start_worker: StartWorker) -> None:
    worker = start_worker()
    id = _post(resources, training={"epochs": 500})
    row = _wait_for_the_middle(resources, id)
    with resources.sessions.reading() as session:
        (seen,) = workers.seen(session)
    assert (seen.worker.processes, seen.worker.device, [held.id for held in seen.executions]) == (1, "cpu", [row.id])
    assert seen.heartbeat_age < resources.settings.lease_seconds
    worker.terminate()
    with resources.sessions.reading() as session:
        assert workers.seen(session) == []


def test_sigterm_gives_back_what_runs_and_leaves_no_process(resources: Resources, start_worker: StartWorker) -> None:
    worker = start_worker()
    id = _post(resources, training={"epochs": 500})
    _wait_for_the_middle(resources, id)
    family = [psutil.Process(worker.process.pid), *worker.children()]
    worker.terminate(seconds=20)
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    (row,) = _executions(resources, id)
    assert (row.state, row.owner, row.losses) == (State.QUEUED, None, 0)
    assert _experiment(resources, id).state is State.RUNNING


def test_without_any_message_the_work_is_found(resources: Resources, start_worker: StartWorker) -> None:
    id = _post(resources, wake=False, executions=2)
    worker = start_worker()
    assert _wait_for_the_end(resources, id).state is State.SUCCEEDED
    assert [row.attempt for row in _executions(resources, id)] == [1, 1]
    worker.terminate()


def test_every_message_three_times_changes_nothing(resources: Resources, start_worker: StartWorker) -> None:
    id = _post(resources, executions=3)
    resources.wakeups.train(id, count=6)
    worker = start_worker()
    assert _wait_for_the_end(resources, id).state is State.SUCCEEDED
    assert [row.attempt for row in _executions(resources, id)] == [1, 1, 1]
    worker.terminate()


def test_cancelling_is_heard_within_seconds(resources: Resources, start_worker: StartWorker) -> None:
    worker = start_worker()
    id = _post(resources, training={"epochs": 500}, executions=2)
    _wait_for_the_middle(resources, id)
    with resources.sessions.begin() as session:
        experiments.cancel(session, id)
    assert _wait_for_the_end(resources, id, seconds=10).state is State.CANCELLED
    assert {row.state for row in _executions(resources, id)} == {State.CANCELLED}
    worker.terminate()
