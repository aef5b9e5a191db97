"""What every fault is made of: how much to do, whom to hit, and watching what becomes of it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from noisegate.spec import ExperimentSpec, TrainingExperiment, parse_spec
from noisegate.store.states import State
from noisegate.store.tables import Execution
from tests import factories
from tests.faults.processes import Worker, process_of, until
from tests.faults.system import Database, System


@dataclass(frozen=True)
class Form:
    """How much there is to do: a quarter of an hour's worth, or what a test run can wait for.

    `small_experiments`, of `small_executions` each, are done while `restarts` processes are ended.
    """

    epochs: int
    keep_models: Literal["best", "none"]
    storm_seconds: float
    small_experiments: int
    small_executions: int
    restarts: int
    worker_processes: int

    def training(self, executions: int = 1) -> TrainingExperiment:
        """Seconds an execution. Exporting models takes longer than training here: only the long form keeps them."""
        return factories.shades_spec(
            training={"epochs": self.epochs}, executions=executions, keep_models=self.keep_models
        )

    def small(self, executions: int = 6) -> ExperimentSpec:
        """A tenth of a second an execution."""
        return parse_spec({"kind": "curve_fitting", "samples": 500, "iterations": 30, "executions": executions})


LONG = Form(
    epochs=200,
    keep_models="best",
    storm_seconds=60,
    small_experiments=10,
    small_executions=100,
    restarts=16,
    worker_processes=2,
)
SHORT = Form(
    epochs=30,
    keep_models="none",
    storm_seconds=3,
    small_experiments=2,
    small_executions=20,
    restarts=3,
    worker_processes=1,
)


@dataclass
class Injected:
    """The experiments that an injection disturbed; worst seconds from it to its notice, and to work going on."""

    experiments: list[str] = field(default_factory=list)
    detection: float | None = None
    recovery: float | None = None
    broken: list[str] = field(default_factory=list)

    def saw(self, seconds: tuple[float, float] | None) -> bool:
        """Enter what `watch` answered; answers whether there was anything to see."""
        if seconds is None:
            return False
        self.detection = max(self.detection or 0, seconds[0])
        self.went_on(seconds[1])
        return True

    def went_on(self, seconds: float) -> None:
        """Enter how long work took to go on."""
        self.recovery = max(self.recovery or 0, seconds)


Inject = Callable[[System, Random, Form], Injected]


def _trainings(form: Form) -> list[ExperimentSpec]:
    return [form.training()]


def _nothing_missing(_system: System) -> str | None:
    return None


@dataclass(frozen=True)
class Fault:
    """`inject` harms a system that has `workers`.

    It does so `times` on each of `databases` in the long form, and once on the database `short`, if any, in the short one;
    `nightly` leaves that to the runs of everything.
    `specs` are run undisturbed beforehand; `missing` says what the machine lacks for it, if anything.
    """

    name: str
    inject: Inject
    short: Database | None
    nightly: bool = False
    times: int = 1
    databases: tuple[Database, ...] = ("sqlite", "postgresql")
    workers: int = 2
    specs: Callable[[Form], list[ExperimentSpec]] = _trainings
    missing: Callable[[System], str | None] = _nothing_missing


def meet(system: System, random: Random, form: Form, found: Injected) -> Execution:
    """A running execution at a random moment of its training."""
    while True:
        found.experiments.append(id := system.post(form.training()))
        system.wait_until_running(id)
        epoch = random.uniform(0, 0.8) * form.epochs
        until(lambda id=id, epoch=epoch: _has_come_to(system, id, epoch), "training goes on")  # type: ignore[misc]
        # Epochs are told with the heartbeat, and a fault keeps no time with it.
        time.sleep(random.uniform(0, system.settings.heartbeat_seconds / 2))
        (row,) = system.rows(id)
        if row.state is State.RUNNING:
            return row


def _has_come_to(system: System, id: str, epoch: float) -> bool:
    (row,) = system.rows(id)
    return row.epochs_done >= epoch or row.state.terminal


def watch(system: System, victim: Execution, since: float, seconds: float = 120) -> tuple[float, float] | None:
    """Seconds from `since` until this execution's loss was noticed, and until its next attempt ran.

    None when it ended in the attempt that was to be hit: the fault came too late.
    """
    noticed: list[float] = []

    def goes_on() -> bool:
        (row,) = [row for row in system.rows(victim.experiment_id) if row.id == victim.id]
        if (row.attempt, row.losses) == (victim.attempt, victim.losses) and row.state.terminal:
            return True
        if (row.attempt, row.losses, row.state) != (victim.attempt, victim.losses, State.RUNNING):
            noticed.append(time.monotonic() - since)
        return row.attempt > victim.attempt

    until(goes_on, f"{victim.id} runs again", seconds=seconds)
    return (noticed[0], noticed[-1]) if noticed else None


def until_claimed(system: System, id: str, since: float) -> float:
    """Seconds from `since` until something more of this experiment is claimed, or nothing is left to claim."""
    before = sum(row.attempt for row in system.rows(id))

    def goes_on() -> bool:
        rows = system.rows(id)
        return sum(row.attempt for row in rows) > before or all(row.attempt for row in rows)

    until(goes_on, "what waits is claimed")
    return time.monotonic() - since


def kill_process_of(victim: Execution) -> float:
    """kill -9 of the process that holds this execution; answers when that was, in seconds of the monotonic clock."""
    assert victim.owner is not None
    os.kill(process_of(victim.owner), signal.SIGKILL)
    return time.monotonic()


def holder(system: System, victim: Execution) -> Worker:
    """The worker that holds this execution."""
    (worker,) = [worker for worker in system.workers if worker.holds(victim.owner)]
    return worker
