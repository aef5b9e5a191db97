"""A whole installation of real processes in one folder: database, broker, service, workers, and a small disk."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from migrations.run import upgrade
from noisegate.spec import ExperimentSpec
from noisegate.store import experiments, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from noisegate.store.wakeups import Wakeups, celery_app
from tests import factories
from tests.faults import clocks, witnesses
from tests.faults.processes import Broker, Postgres, Service, Worker, until

Database = Literal["sqlite", "postgresql"]

# What every installation here has beside the settings as they are delivered: faults hit one execution often, checkpoints
# and the removal of files without a row are to be met within minutes.
_COMMON: dict[str, Any] = {
    "device": "cpu",
    "min_free_bytes": 0,
    "max_losses": 1000,
    "checkpoint_seconds": 2,
    "orphan_seconds": 5,
    "worker_processes": 1,
    # Faults are to hit those that train; tests/worker/test_data_processes.py hits the others.
    "data_processes": 0,
}
_DISK_BYTES = 64 * 2**20


@dataclass
class System:
    """`workers` are those that have been started and not been stopped in order; some may have been killed since."""

    folder: Path
    database: Database
    settings: Settings
    sessions: Sessions
    wakeups: Wakeups
    broker: Broker
    service: Service
    environment: dict[str, str]
    postgres: Postgres | None
    shim: Path | None
    small_disk: bool
    workers: list[Worker] = field(default_factory=list)

    @property
    def artefacts(self) -> Artefacts:
        return Artefacts(self.settings.artefact_root)

    def start_worker(self, processes: int = 1) -> Worker:
        """One more worker; it may not be ready yet."""
        number = len(list(self.folder.glob("worker-*.log")))
        environment = self.environment | {"NOISEGATE_WORKER_PROCESSES": str(processes)}
        clock = self.folder / f"clock-{number}" if self.shim else None
        if clock is not None:
            clocks.set_offset(clock, 0)
            environment |= {"LD_PRELOAD": str(self.shim), "FAULT_CLOCK": str(clock)}
        worker = Worker(self.folder / f"worker-{number}.log", environment, clock)
        worker.start()
        self.workers.append(worker)
        return worker

    def have_workers(self, count: int, processes: int = 1) -> None:
        """Exactly so many workers run afterwards. Those that run already are taken to have as many processes."""
        self.workers = [worker for worker in self.workers if worker.running]
        while len(self.workers) > count:
            self.workers.pop().terminate()
        while len(self.workers) < count:
            self.start_worker(processes)

    def no_workers(self) -> None:
        """Whatever worker is left ends at once."""
        for worker in self.workers:
            worker.kill()
        self.workers = []

    def post(self, spec: ExperimentSpec, *, wake: bool = True) -> str:
        """Enter an experiment as the service does, and wake the workers; answers its id."""
        with self.sessions.begin() as session:
            planned = planning.plan(session, spec, self.settings.caps)
            experiment = planning.create(session, planned)
        if wake:
            self.wakeups.train(experiment.id, count=min(planned.executions, 64))
        return experiment.id

    def rows(self, experiment_id: str) -> Sequence[Execution]:
        """Its executions as they are now. A database that is away is asked again until it is back."""
        found: list[Execution] = []

        def read() -> bool:
            try:
                with self.sessions.reading() as session:
                    query = sa.select(Execution).where(Execution.experiment_id == experiment_id)
                    found[:] = session.scalars(query.order_by(Execution.place)).all()
            except sa.exc.DBAPIError:
                return False
            return True

        until(read, "the database answers")
        return found

    def experiment(self, id: str) -> Experiment:
        with self.sessions.reading() as session:
            return experiments.get(session, id)

    def wait_until_running(self, experiment_id: str) -> list[Execution]:
        """The executions that run, once any does."""
        running: list[Execution] = []

        def any_runs() -> bool:
            running[:] = [row for row in self.rows(experiment_id) if row.state is State.RUNNING]
            return bool(running)

        until(any_runs, "an execution runs")
        return running

    def wait_for_the_end(self, experiment_ids: Sequence[str], seconds: float = 180) -> None:
        """Until every execution of these experiments has ended."""

        def all_ended() -> bool:
            # Counting leaves more of two cores to the work than reading a thousand rows does.
            query = sa.select(sa.func.count()).where(
                Execution.experiment_id.in_(experiment_ids), Execution.state.in_([State.QUEUED, State.RUNNING])
            )
            try:
                with self.sessions.reading() as session:
                    return session.scalar(query) == 0
            except sa.exc.DBAPIError:
                return False

        until(all_ended, "every execution ends", seconds=seconds)

    def ends_of_logs(self) -> str:
        """What each process said last."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{log.name}:\n" + log.read_text(errors="replace")[-1500:] for log in logs)

    def close(self) -> None:
        """Kill what runs and give everything back."""
        self.no_workers()
        self.service.kill()
        self.broker.kill()
        self.sessions.close()


@contextmanager
def running(database: Database, logs: Path | None = None, pace: Mapping[str, float] | None = None) -> Iterator[System]:
    """An installation with a broker and a dataset, without workers or service.

    Args:
        logs: where the processes' logs are left.
        pace: settings other than those delivered.
    """
    # PostgreSQL's socket path must stay below 107 characters.
    with tempfile.TemporaryDirectory(prefix="ng-fault-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user where this one is root
        postgres = Postgres(folder) if database == "postgresql" else None
        try:
            with _small_disk(folder / "data") as small_disk:
                system = _assemble(folder, database, postgres, small_disk, pace or {})
                try:
                    _prepare(system)
                    yield system
                finally:
                    system.close()
                    _keep_logs(folder, logs)
        finally:
            if postgres:
                postgres.close()


def _keep_logs(folder: Path, logs: Path | None) -> None:
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        for log in (*folder.glob("*.log"), *folder.glob("pg/log")):
            shutil.copy(log, logs / log.name)


def _assemble(
    folder: Path, database: Database, postgres: Postgres | None, small_disk: bool, pace: Mapping[str, float]
) -> System:
    url = postgres.create_database("noisegate") if postgres else f"sqlite:///{folder / 'noisegate.db'}"
    broker = Broker(folder, os.environ)
    places: dict[str, Any] = {"data_dir": folder / "data", "database_url": url, "broker_url": broker.url}
    settings = Settings(**places, **(_COMMON | dict(pace)))
    environment = environment_of(settings)
    upgrade(url)
    if postgres:
        clocks.install_skew(url)
    return System(
        folder=folder,
        database=database,
        settings=settings,
        sessions=open_sessions(settings),
        wakeups=Wakeups(celery_app(settings)),
        broker=broker,
        service=Service(folder, environment, _free_port()),
        environment=environment,
        postgres=postgres,
        shim=clocks.build_shim(folder),
        small_disk=small_disk,
    )


def _prepare(system: System) -> None:
    system.broker.start()
    with system.sessions.begin() as session:
        witnesses.install(session.connection())
        factories.stored_dataset(session, system.artefacts)


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment that gives another process these settings."""
    given = settings.model_dump(mode="json", include=settings.model_fields_set)
    ours = {f"NOISEGATE_{name.upper()}": str(value) for name, value in given.items()}
    # One thread a process, as workers have it, so that whoever computes gets the same bytes.
    return dict(os.environ) | ours | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


@contextmanager
def _small_disk(at: Path) -> Iterator[bool]:
    """A file system of its own at this path, which can be filled. Answers whether mounting was allowed."""
    at.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(at)]
    mounted = mount is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(at)], check=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
