"""Faults of clocks: the database's steps, or that of one worker, while work goes on."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

from tests.faults import clocks
from tests.faults.base import Form, Inject, Injected, holder, kill_process_of, meet, until_claimed, watch
from tests.faults.processes import Worker
from tests.faults.system import System


def step_database(seconds: float, *, kill: bool) -> Inject:
    """The database's clock steps while an execution runs, shortly after a kill -9 of its process or without one."""

    def inject(system: System, random: Random, form: Form) -> Injected:
        found = Injected()
        while True:
            victim = meet(system, random, form, found)
            killed = kill_process_of(victim) if kill else None
            with _stepped(system, seconds):
                seen = watch(system, victim, killed) if killed else None
                system.wait_for_the_end(found.experiments)
            if found.saw(seen) or not kill:
                return found

    return inject


def step_database_unwoken(system: System, random: Random, form: Form) -> Injected:
    """The database's clock is put back by five minutes while rows wait whose wake-ups were lost."""
    system.broker.forget()  # a message left over would wake them
    found = Injected([system.post(form.small(), wake=False)])
    with _stepped(system, -300):
        found.went_on(until_claimed(system, found.experiments[0], time.monotonic()))
        system.wait_for_the_end(found.experiments)
    return found


@contextmanager
def _stepped(system: System, seconds: float) -> Iterator[None]:
    _step(system, seconds)
    try:
        yield
    finally:
        _step(system, 0)


def _step(system: System, seconds: float) -> None:
    """PostgreSQL has a clock of its own; SQLite's is that of every process that uses it."""
    if system.database == "postgresql":
        with system.sessions.begin() as session:
            clocks.step_skew(session.connection(), seconds)
    else:
        _step_wall_clocks(system.workers, seconds)


def step_worker(seconds: float) -> Inject:
    """The wall clock of the worker that trains steps; the database's does not. Nothing is lost by it."""

    def inject(system: System, random: Random, form: Form) -> Injected:
        found = Injected()
        victim = meet(system, random, form, found)
        _step_wall_clocks([holder(system, victim)], seconds)
        system.wait_for_the_end(found.experiments)
        _step_wall_clocks(system.workers, 0)
        (row,) = system.rows(victim.experiment_id)
        if row.losses:
            found.broken.append(f"{row.id} was taken from a worker whose clock is off by {seconds:g} s")
        return found

    return inject


def _step_wall_clocks(workers: Sequence[Worker], seconds: float) -> None:
    for worker in workers:
        assert worker.clock is not None, "there is a shim"
        clocks.set_offset(worker.clock, seconds)


def no_shim(system: System) -> str | None:
    """Why a process's wall clock cannot be moved, if it cannot."""
    return None if system.shim else "there is no C compiler to build the shim that moves a process's clock"


def no_shim_for_sqlite(system: System) -> str | None:
    """Likewise; PostgreSQL's clock needs none."""
    return no_shim(system) if system.database == "sqlite" else None
