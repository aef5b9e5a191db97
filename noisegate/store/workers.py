"""Which workers run, told by the rows that they renew: no broker is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload, load_only

from noisegate.store.clock import seconds_now, within
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution, Worker, utc_now

# A worker that ended without a word is shown for so long, to be found missing.
FORGET_SECONDS = 3600


@dataclass(frozen=True)
class Seen:
    """A worker, its heartbeat's distance from now (seconds), and the executions that its processes hold."""

    worker: Worker
    heartbeat_age: float
    executions: list[Execution]


def beat(session: Session, name: str, *, host: str, device: str, processes: int, version: str) -> None:
    """Say that this worker runs; enters it when it is new."""
    renewed = session.execute(sa.update(Worker).where(Worker.name == name).values(beat_at=seconds_now()))
    if renewed.rowcount == 0:  # type: ignore[attr-defined]
        columns = {"host": host, "device": device, "processes": processes, "version": version}
        session.execute(sa.insert(Worker).values(name=name, beat_at=seconds_now(), started_at=utc_now(), **columns))


def leave(session: Session, name: str) -> None:
    """The worker ended in order."""
    session.execute(sa.delete(Worker).where(Worker.name == name))


def forget(session: Session) -> None:
    """Remove the workers that ended without a word long ago."""
    session.execute(sa.delete(Worker).where(~within(Worker.beat_at, FORGET_SECONDS)))


def any_alive(session: Session, *, within_seconds: float) -> bool:
    """Whether any worker's heartbeat is that young."""
    return bool(session.scalar(sa.select(sa.exists().where(within(Worker.beat_at, within_seconds)))))


def seen(session: Session) -> list[Seen]:
    """Every worker, by name."""
    rows = session.execute(sa.select(Worker, seconds_now() - Worker.beat_at).order_by(Worker.name)).all()
    held = _held(session)
    return [
        Seen(worker, abs(age), [row for row in held if (row.owner or "").startswith(f"{worker.name}/")])
        for worker, age in rows
    ]


def _held(session: Session) -> Sequence[Execution]:
    shown = load_only(
        Execution.owner,
        Execution.experiment_id,
        Execution.position,
        Execution.epochs,
        Execution.epochs_done,
        Execution.images_per_second,
    )
    # Joined to its experiment, which says whose it is.
    query = sa.select(Execution).join(Execution.cell).join(Cell.experiment).where(Execution.state == State.RUNNING)
    cell = joinedload(Execution.cell).load_only(Cell.position)
    return session.scalars(query.options(shown, cell).order_by(Execution.id)).all()
