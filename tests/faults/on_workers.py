"""Faults of workers: killed, frozen, restarted at random."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

import sqlalchemy as sa

from noisegate.store.states import State
from noisegate.store.tables import Execution
from tests.faults.base import Form, Injected, holder, kill_process_of, meet, watch
from tests.faults.processes import Worker, process_of, until
from tests.faults.system import System


def kill_training(system: System, random: Random, form: Form) -> Injected:
    """kill -9 of the process that trains."""
    found = Injected()
    while True:
        victim = meet(system, random, form, found)
        if found.saw(watch(system, victim, kill_process_of(victim))):
            return found


def kill_workers(system: System, random: Random, form: Form) -> Injected:
    """kill -9 of every process of every worker; new ones are started."""
    found = Injected()
    while True:
        victim = meet(system, random, form, found)
        count, since = len(system.workers), time.monotonic()
        system.no_workers()
        system.have_workers(count)
        if found.saw(watch(system, victim, since)):
            return found


def freeze_worker(system: System, random: Random, form: Form) -> Injected:
    """SIGSTOP of a whole worker for longer than its lease; SIGCONT once another has taken over."""
    found = Injected()
    while True:
        victim = meet(system, random, form, found)
        frozen, since = holder(system, victim), time.monotonic()
        end_of_log = frozen.log.stat().st_size
        try:
            with _nobody_writes(system):
                frozen.freeze()
            seen = watch(system, victim, since)
        finally:
            frozen.signal_all(signal.SIGCONT)
        if found.saw(seen):
            _wait_for_refusal(frozen, victim, end_of_log)
            return found


@contextmanager
def _nobody_writes(system: System) -> Iterator[None]:
    """SQLite has one writer at a time: whoever is frozen while writing stops all others, and no lease can help them."""
    if system.database == "sqlite":
        with system.sessions.begin() as session:
            session.connection()  # a transaction begins, and takes the lock, with its first statement only
            yield
    else:
        yield


def freeze_in_transaction(system: System, random: Random, form: Form) -> Injected:
    """SIGSTOP of a worker in the middle of a transaction, in which it holds locks. PostgreSQL only.

    So it looks as well when a machine vanishes without a word: the server keeps the connection.
    """
    found = Injected([system.post(form.small(executions=100))])
    while True:
        id = found.experiments[-1]
        if _succeeded(system, [id]) > 80:
            found.experiments.append(id := system.post(form.small(executions=100)))
        frozen = holder(system, random.choice(system.wait_until_running(id)))
        until(lambda: bool(_lock_holders(system)), "a transaction holds the lock of files", seconds=60)
        since = time.monotonic()
        frozen.signal_all(signal.SIGSTOP)
        try:
            at_first = _lock_holders(system)
            time.sleep(0.5)  # whoever is not frozen gives the lock back meanwhile
            if at_first & _lock_holders(system):
                found.went_on(_until_recorded(system, found.experiments, since))
                return found
        finally:
            frozen.signal_all(signal.SIGCONT)


def _until_recorded(system: System, experiment_ids: Sequence[str], since: float) -> float:
    """Seconds from `since` until others have recorded two more results; one may have been under way."""
    before = _succeeded(system, experiment_ids)
    until(lambda: _succeeded(system, experiment_ids) > before + 1, "others record results", seconds=90)
    return time.monotonic() - since


def _lock_holders(system: System) -> set[tuple[int, str]]:
    """Which connections hold the lock of files in a transaction that waits for its client, and since when."""
    query = sa.text(
        "SELECT pid, xact_start::text FROM pg_stat_activity JOIN pg_locks USING (pid) "
        "WHERE state = 'idle in transaction' AND locktype = 'advisory' AND granted"
    )
    with system.sessions.reading() as session:
        return {(row[0], row[1]) for row in session.execute(query)}


def _wait_for_refusal(worker: Worker, victim: Execution, end_of_log: int) -> None:
    """Until the worker that came back has heard that the execution is no longer its own."""

    def heard() -> bool:
        lines = worker.log.read_bytes()[end_of_log:].decode(errors="replace").splitlines()
        return any(victim.id in line and ("lease_lost" in line or "refused" in line) for line in lines)

    until(heard, "the worker that came back is refused", seconds=60)


def restart_at_random(system: System, random: Random, form: Form) -> Injected:
    """SIGTERM and SIGKILL at random parents and children, evenly spread over many small executions."""
    if form.worker_processes > 1:
        system.no_workers()  # they have one process each
    system.have_workers(2, form.worker_processes)
    spec = form.small(form.small_executions)
    found = Injected([system.post(spec) for _ in range(form.small_experiments)])
    total = form.small_experiments * form.small_executions
    seen: list[Future[tuple[float, float] | None]] = []
    with ThreadPoolExecutor(max_workers=form.restarts * 4) as watchers:
        for number in range(form.restarts):
            share = total * (number + 1) // (form.restarts + 2)
            until(lambda share=share: _succeeded(system, found.experiments) >= share, f"{share} executions are done")  # type: ignore[misc]
            for victim, since in _restart(system, random, form):
                seen.append(watchers.submit(watch, system, victim, since))
    for future in seen:
        found.saw(future.result())
    return found


def _restart(system: System, random: Random, form: Form) -> list[tuple[Execution, float]]:
    """End one process, and start a worker anew if that was one; answers what a SIGKILL took, and when."""
    worker, number = random.choice(system.workers), random.choice([signal.SIGTERM, signal.SIGKILL])
    held = [row for row in _running(system) if worker.holds(row.owner)]
    since = time.monotonic()
    if random.random() < 0.5 and (children := worker.children()):
        child = random.choice(children)
        os.kill(child.pid, number)
        held = [row for row in held if process_of(row.owner or "") == child.pid]
        return [(row, since) for row in held]
    if number is signal.SIGTERM:
        worker.terminate()
        held = []  # given back in order
    else:
        worker.kill()
    system.have_workers(2, form.worker_processes)
    return [(row, since) for row in held]


def _running(system: System) -> list[Execution]:
    with system.sessions.reading() as session:
        return list(session.scalars(sa.select(Execution).where(Execution.state == State.RUNNING)))


def _succeeded(system: System, experiment_ids: Sequence[str]) -> int:
    with system.sessions.reading() as session:
        query = sa.select(sa.func.count()).where(
            Execution.experiment_id.in_(experiment_ids), Execution.state == State.SUCCEEDED
        )
        return session.scalar(query) or 0
