"""The processes of a worker: they train, take care of data, or reap; their parent starts them, and anew those that end.

The parent does nothing else. It loads what all of them have in common and forks them, so they share that memory and are there
in hundredths of a second. A fork copies one thread alone, and what others held stays held: so the parent has no other thread, and
nothing open but ends of pipes. CUDA follows no fork either; only children load it. Where forks of loaded libraries are not
safe, on macOS, each process loads for itself.

Each reads queues of its own, as which process of a pool gets a message cannot be said (docs/decisions/0021).
"""

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import configure_mappers

from migrations.revisions import await_migration
from noisegate.local.signals import SignalWatch
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import DERIVE, INGEST, QUEUES, TRAIN
from worker.children import SIGNALS, Lifeline, consume, reap
from worker.endings import Endings
from worker.resources import name_worker

log = structlog.get_logger(__name__)

# Longer than one step between two looks at whether to go on; afterwards their leases run out.
_GRACE_SECONDS = 60
# One that ends as soon as it has started is started no more often than this.
_RESTART_SECONDS = 1.0
_REAPER = "reaper"


def run_processes(settings: Settings, training: int, device: str) -> int:
    """Run a worker until a signal ends it; returns its exit status."""
    log.info(
        "worker_starts",
        worker=name_worker(),
        processes=training,
        data_processes=settings.data_processes,
        database=settings.sqlalchemy_url.drivername,
    )
    _await_tables(settings)
    configure_mappers()
    # What is loaded stays; to look through it for garbage would only unshare it.
    gc.collect()
    gc.freeze()
    return Processes(readers(training, settings.data_processes), training, device).run()


def readers(training: int, data: int) -> dict[str, list[str]]:
    """The queues that each process reads, by its name. One that trains has the number of its GPU in it.

    Of several for data the first takes uploads alone: features of thousands of photographs take minutes, and uploads do not
    wait for those.
    """
    alone = int(data > 1)
    found = {"uploads": [QUEUES[INGEST]]} if alone else {}
    found |= {f"data-{number}": [QUEUES[INGEST], QUEUES[DERIVE]] for number in range(data - alone)}
    trains = [QUEUES[TRAIN]] if data else list(QUEUES.values())
    return found | {f"training-{number}": trains for number in range(training)}


def _await_tables(settings: Settings) -> None:
    sessions = open_sessions(settings)
    try:
        await_migration(sessions.engine)
    except sa.exc.SQLAlchemyError as error:
        log.warning("database_away", error=str(error))  # each process tries again by itself
    finally:
        sessions.close()


class Processes:
    """A process for each of `readers`, and one that reaps, until a signal comes.

    Args:
        readers: the queues of each, by its name.
        training, device: what the worker says of itself: how many processes train, and on what.
    """

    def __init__(self, readers: Mapping[str, Sequence[str]], training: int, device: str) -> None:
        self._readers = readers
        self._about = training, device
        self._context = get_context("fork") if sys.platform == "linux" else get_context("spawn")
        self._lifeline = Lifeline(*self._context.Pipe(duplex=False))
        self._endings = Endings()
        self._running: dict[str, BaseProcess] = {}
        self._started: dict[str, float] = {}

    def run(self) -> int:
        """Returns 0 after a signal, or the status of a process that says it cannot run as it is configured."""
        with SignalWatch() as signals:
            status = 0
            while not signals.received and status != os.EX_CONFIG:
                self._start_missing()
                signals.wait(self._seconds_to_next())
                status = self._note_ends()
            self._end(signals)
        return status if status == os.EX_CONFIG else os.EX_OK

    def _missing(self) -> dict[str, float]:
        """Those that do not run, and when each may be started."""
        names = (_REAPER, *self._readers)
        started = {name: self._started.get(name, -float("inf")) for name in names if name not in self._running}
        return {name: at + _RESTART_SECONDS for name, at in started.items()}

    def _start_missing(self) -> None:
        for name, due in self._missing().items():
            if due <= time.monotonic():
                self._running[name], self._started[name] = self._start(name), time.monotonic()

    def _seconds_to_next(self) -> float | None:
        missing = self._missing()
        return max(0.0, min(missing.values()) - time.monotonic()) if missing else None

    def _start(self, name: str) -> BaseProcess:
        arguments = (name, self._lifeline, *self._work_of(name))
        process = self._context.Process(target=reap if name == _REAPER else consume, args=arguments, name=name)
        sys.stdout.flush()
        with _signals_held():
            process.start()
        assert process.pid is not None
        self._endings.note_start(process.pid)
        return process

    def _work_of(self, name: str) -> tuple[object, ...]:
        if name == _REAPER:
            return (*self._about, self._endings.told_through(*self._context.Pipe(duplex=False)))
        role, _, number = name.rpartition("-")
        return (self._readers[name], int(number) if role == "training" else 0)

    def _note_ends(self) -> int:
        """Returns the worst status of those that have ended."""
        ended = {name: process for name, process in self._running.items() if process.exitcode is not None}
        statuses = [0]
        for name, process in ended.items():
            assert process.pid is not None
            assert process.exitcode is not None
            self._endings.note_end(process.pid, process.exitcode)
            if process.exitcode:
                log.warning("process_ended", role=name, process=process.pid, exit_code=process.exitcode)
            statuses.append(process.exitcode)
            del self._running[name]
        return max(statuses)

    def _end(self, signals: SignalWatch) -> None:
        """Have each give back what it holds, and end; what is left after the grace, or at another signal, is killed."""
        signals.received.clear()
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        while (left := self._left()) and not signals.received and (seconds := deadline - time.monotonic()) > 0:
            signals.wait(seconds)
        for process in left:
            log.warning("process_killed", role=process.name, process=process.pid)
            process.kill()
            process.join()

    def _left(self) -> list[BaseProcess]:
        return [process for process in self._running.values() if process.exitcode is None]


@contextmanager
def _signals_held() -> Iterator[None]:
    """A signal that came between a fork and what the child makes of signals would be lost to it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
