"""Expired leases and wake-ups that never came: what a dead worker held waits again, or fails."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.problems import Failure
from noisegate.store import experiments, leases
from noisegate.store.clock import seconds_now
from noisegate.store.executions import WAITING_ANEW, note_waiting_anew
from noisegate.store.states import State
from noisegate.store.tables import Execution, utc_now


@dataclass(frozen=True)
class ReapedExecutions:
    """What was done about expired leases."""

    requeued: list[str]
    failed: list[str]
    cancelled: list[str]


def owners(session: Session, worker: str) -> set[str]:
    """The names of this worker's processes that hold anything."""
    found: set[str] = set()
    for table, state in leases.HELD.items():
        held = sa.select(table.owner).where(table.state == state, table.lease_until.is_not(None))
        found.update(session.scalars(held.where(table.owner.startswith(f"{worker}/", autoescape=True))))
    return found


def expire(session: Session, owners: Collection[str], describe: Callable[[int], Failure]) -> list[str]:
    """Let the leases of these processes run out now; returns the executions that they held.

    A failure that a process noted itself before it ended (`executions.note_failure`) stays: it says more than how it ended.

    Args:
        describe: what became of the process with this id, should this have been the execution's last attempt.
    """
    lost: list[str] = []
    for owner in sorted(owners):
        failure = describe(int(owner.rpartition("/")[2])).model_copy(update={"worker": owner})
        # Null in a row that nothing was noted on: a claim clears what its predecessor met.
        error = sa.func.coalesce(Execution.error, sa.literal(failure, Execution.error.type))
        lost += leases.expire(session, Execution, [owner], error=error)
    return lost


def any_expired(lease_seconds: float) -> sa.ColumnElement[bool]:
    """True if there is anything to reap, of any kind."""
    looks = [
        sa.exists().where(table.state == state, leases.expired(table, lease_seconds))
        for table, state in leases.HELD.items()
    ]
    return sa.or_(*looks)


def reap(session: Session, *, lease_seconds: float, max_losses: int, error: Failure) -> ReapedExecutions:
    """Take expired leases away: executions of cancelled experiments end, those lost too often fail, others wait again.

    One that fails keeps what is known of its last loss (`expire`, `executions.note_failure`); otherwise `error` is its reason.
    """
    lost = session.execute(
        sa.select(Execution.id, Execution.experiment_id, Execution.losses, Execution.error, Execution.owner)
        .where(Execution.state == State.RUNNING, leases.expired(Execution, lease_seconds))
        .order_by(Execution.experiment_id, Execution.id)
    )
    found: dict[State, list[str]] = {State.QUEUED: [], State.FAILED: [], State.CANCELLED: []}
    for id, experiment_id, losses, known, owner in lost.all():
        experiment = experiments.lock(session, experiment_id)
        target = _after_loss(experiment.state, losses + 1, max_losses)
        failure = known or error.model_copy(update={"worker": owner})
        if _take_away(session, id, lease_seconds, target, failure if target is State.FAILED else None):
            found[target].append(id)
            if target.terminal:
                experiments.note_end(session, experiment, id)
            else:
                note_waiting_anew(session, experiment, id)
            experiments.settle(session, experiment_id)
    return ReapedExecutions(found[State.QUEUED], found[State.FAILED], found[State.CANCELLED])


def _take_away(session: Session, id: str, lease_seconds: float, target: State, failure: Failure | None) -> bool:
    """Returns whether the lease was still expired when the row was touched: its holder may have renewed it."""
    values: dict[str, Any] = {
        "state": target,
        "lease_until": None,
        "losses": Execution.losses + 1,
        "woken_at": seconds_now(),
        "error": failure,
    }
    if target.terminal:
        values |= {"finished_at": utc_now(), "checkpoint_digest": None}
    else:
        values |= WAITING_ANEW
    lost = sa.and_(Execution.id == id, Execution.state == State.RUNNING, leases.expired(Execution, lease_seconds))
    return session.scalar(sa.update(Execution).where(lost).values(**values).returning(Execution.id)) is not None


def _after_loss(experiment: State, losses: int, max_losses: int) -> State:
    if experiment is State.CANCELLING:
        return State.CANCELLED
    return State.FAILED if losses >= max_losses else State.QUEUED


def any_overdue(wakeup_seconds: float) -> sa.ColumnElement[bool]:
    """True if anything waits although it was woken long ago."""
    looks = [sa.exists().where(leases.overdue(table, wakeup_seconds)) for table in leases.HELD]
    return sa.or_(*looks)


def overdue(session: Session, *, wakeup_seconds: float, limit: int) -> Sequence[str]:
    """Executions that wait although they were woken long ago, at most `limit`; they count as woken now."""
    chosen = (
        sa.select(Execution.id)
        .where(leases.overdue(Execution, wakeup_seconds))
        .order_by(Execution.experiment_id, Execution.place)
        .limit(limit)
        .with_for_update(skip_locked=True)
        # PostgreSQL may evaluate a plain subquery once more for every row, and then takes more than the limit.
        .cte("chosen")
    )
    statement = sa.update(Execution).where(Execution.id.in_(sa.select(chosen.c.id))).values(woken_at=seconds_now())
    return session.scalars(statement.returning(Execution.id)).all()
