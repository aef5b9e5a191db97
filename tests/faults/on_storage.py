"""Faults of what keeps things: PostgreSQL restarted in the middle of commits, a disk that is full."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import sqlalchemy as sa

from noisegate.store.states import State
from tests.faults import witnesses
from tests.faults.base import Form, Inject, Injected, watch
from tests.faults.processes import Postgres, until
from tests.faults.system import System

_COMMIT_SECONDS = 0.3


def restart_postgres(mode: str) -> Inject:
    """PostgreSQL stops while a commit is under way, and is started again."""

    def inject(system: System, random: Random, form: Form) -> Injected:
        postgres = _server_of(system)
        with _slow_commits(system):
            id = system.post(form.small())
            time.sleep(random.uniform(0, 2 * _COMMIT_SECONDS))
            until(lambda: _waiting_in(system, "PgSleep"), "a commit is under way")
            postgres.restart(mode)
            return _going_on(system, id, time.monotonic())

    return inject


def restart_postgres_unanswered(system: System, random: Random, form: Form) -> Injected:
    """PostgreSQL stops after it has committed and before it says so: the client cannot know.

    A commit that waits for a standby which does not exist is durable already.
    """
    postgres = _server_of(system)
    id = system.post(form.small())
    system.wait_until_running(id)
    postgres.command("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    postgres.command("SELECT pg_reload_conf()")
    until(lambda: _waiting_in(system, "SyncRep"), "a commit waits for its answer")
    postgres.command("ALTER SYSTEM RESET synchronous_standby_names")
    postgres.restart("fast")
    return _going_on(system, id, time.monotonic())


def _going_on(system: System, id: str, since: float) -> Injected:
    found = Injected([id])
    before = _standing(system, id)
    until(lambda: _standing(system, id) != before or _ended(system, id), "work goes on")
    found.went_on(time.monotonic() - since)
    system.wait_for_the_end([id])
    return found


def _standing(system: System, id: str) -> list[tuple[int, State]]:
    return [(row.attempt, row.state) for row in system.rows(id)]


def _ended(system: System, id: str) -> bool:
    return all(row.state.terminal for row in system.rows(id))


@contextmanager
def _slow_commits(system: System) -> Iterator[None]:
    with system.sessions.begin() as session:
        witnesses.slow_commits(session.connection(), _COMMIT_SECONDS)
    yield
    with system.sessions.begin() as session:
        witnesses.quick_commits(session.connection())


def _waiting_in(system: System, event: str) -> bool:
    """Whether any backend waits for this. Reading assigns no transaction id, so it waits for no standby."""
    with system.sessions.reading() as session:
        query = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event = :event")
        return bool(session.scalar(query, {"event": event}))


def _server_of(system: System) -> Postgres:
    assert system.postgres is not None, "this fault is for PostgreSQL"
    return system.postgres


def fill_disk(system: System, random: Random, form: Form) -> Injected:
    """The disk that holds artefacts is full when a model is to be written; it has room again once that is noted."""
    id = system.post(form.training().model_copy(update={"keep_models": "best"}))
    system.wait_until_running(id)
    ballast = system.settings.data_dir / "ballast"
    _fill(ballast)
    try:
        until(lambda: system.rows(id)[0].error is not None, "the trouble is noted", seconds=60)
        noted = time.monotonic()
    finally:
        ballast.unlink()
    (victim,) = system.rows(id)
    found = Injected([id])
    if "StorageFull" not in str(victim.error) and "storage" not in str(victim.error):
        found.broken.append(f"{victim.id} notes {victim.error}, not that the disk is full")
    found.saw(watch(system, victim, noted))
    return found


def _fill(ballast: Path) -> None:
    """Take every byte there is."""
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def no_small_disk(system: System) -> str | None:
    """Why `fill_disk` cannot be done, if it cannot."""
    return None if system.small_disk else "mounting a small file system is not allowed here"
