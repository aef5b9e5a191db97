"""Claims on rows, for executions, datasets and derived artefacts alike: claim, renew, give back, let expire.

A row is claimed by compare-and-swap, so two workers never hold it together, whatever messages they got. (owner, attempt)
is the fence: `attempt` rises with each claim, and a write that names an old pair touches nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased

from noisegate.store.clock import seconds_now, within
from noisegate.store.states import DatasetState, DerivedState, State
from noisegate.store.tables import Dataset, Derived, Execution


class LeaseLost(Exception):
    """The row is no longer this worker's: its lease ran out and it was taken away, cancelled or deleted."""


@dataclass(frozen=True)
class Lease:
    """A claim that was granted."""

    id: str
    owner: str
    attempt: int


@dataclass(frozen=True)
class Renewed:
    """What a renewal of several leases found: those that are no longer the holder's, and whether the work may go on."""

    lost: tuple[Lease, ...]
    may_go_on: bool


LeasedTable = type[Execution] | type[Dataset] | type[Derived]

# The state in which a row waits for a worker.
_WAITING: dict[LeasedTable, str] = {
    Execution: State.QUEUED,
    Dataset: DatasetState.INGESTING,
    Derived: DerivedState.WAITING,
}


# The state in which a worker holds a row.
HELD: dict[LeasedTable, str] = {
    Execution: State.RUNNING,
    Dataset: DatasetState.INGESTING,
    Derived: DerivedState.RUNNING,
}


def claiming(table: LeasedTable, which: sa.ColumnElement[bool], **changes: object) -> sa.Update:
    """The statement that claims those of the rows that are not held; `changes` are set along with the lease."""
    columns = table.__table__.c
    lease = {
        "owner": sa.bindparam("claimant"),
        "attempt": columns.attempt + 1,
        "lease_until": seconds_now() + sa.bindparam("lease_seconds", type_=sa.Double()),
    }
    return sa.update(table.__table__).where(which, waiting(table)).values(**lease, **changes)  # type: ignore[arg-type]


def claim(
    session: Session, statement: sa.Update, *, owner: str, lease_seconds: float, **parameters: object
) -> list[Lease]:
    """Carry out a statement that `claiming` made."""
    values = {"claimant": owner, "lease_seconds": lease_seconds, **parameters}
    columns = statement.table.c
    rows = session.connection().execute(statement.returning(columns.id, columns.attempt), values)
    return [Lease(id, owner, attempt) for id, attempt in rows]


def waiting(table: LeasedTable) -> sa.ColumnElement[bool]:
    """True for rows that a worker may claim.

    An execution that depends on another waits until that one has succeeded, and until the artefact that it reads is ready. An
    artefact waits for the one that it is made of, and for as long as no execution waits for it and nobody has asked for it.
    """
    return _WAITS[table]


def _free(table: LeasedTable) -> sa.ColumnElement[bool]:
    return sa.and_(table.state == _WAITING[table], table.lease_until.is_(None))


def _ready() -> sa.ColumnElement[bool]:
    other = aliased(Execution)
    succeeded = sa.exists().where(other.id == Execution.depends_on, other.state == State.SUCCEEDED)
    return sa.and_(~Execution.held, sa.or_(Execution.depends_on.is_(None), succeeded))


def _is_wanted() -> sa.ColumnElement[bool]:
    execution, child = aliased(Execution), aliased(Derived)
    itself = sa.exists().where(execution.waits_for == Derived.id, execution.state == State.QUEUED)
    by_child = sa.exists().where(
        child.parent_id == Derived.id, execution.waits_for == child.id, execution.state == State.QUEUED
    )
    return sa.or_(Derived.asked, itself, by_child)


# True for artefacts that a person asked for, that an execution waits for, or of which one is made that an execution waits for.
WANTED = _is_wanted()


def _can_be_made() -> sa.ColumnElement[bool]:
    parent = aliased(Derived)
    ready = sa.exists().where(parent.id == Derived.parent_id, parent.state == DerivedState.READY)
    return sa.and_(sa.or_(Derived.parent_id.is_(None), ready), WANTED)


# Built once: an alias of a table with thirty columns takes longer to make than a claim takes the database.
_WAITS: dict[LeasedTable, sa.ColumnElement[bool]] = {
    Dataset: _free(Dataset),
    Execution: sa.and_(_free(Execution), _ready()),
    Derived: sa.and_(_free(Derived), _can_be_made()),
}


def overdue(table: LeasedTable, wakeup_seconds: float) -> sa.ColumnElement[bool]:
    """True for rows that wait although a wake-up was sent long ago: it may have been lost."""
    return sa.and_(waiting(table), ~within(table.woken_at, wakeup_seconds))


def fenced(table: LeasedTable, lease: Lease) -> sa.ColumnElement[bool]:
    """True for the leased row as long as the lease is this one."""
    return sa.and_(
        table.id == lease.id,
        table.owner == lease.owner,
        table.attempt == lease.attempt,
        table.lease_until.is_not(None),
    )


def write(session: Session, table: LeasedTable, lease: Lease, **changes: object) -> None:
    """Change the leased row.

    Raises:
        LeaseLost: it is no longer this lease's; nothing was changed.
    """
    statement = (
        sa.update(table).where(fenced(table, lease)).values(**changes).execution_options(synchronize_session=False)
    )
    if session.execute(statement).rowcount != 1:  # type: ignore[attr-defined]
        raise LeaseLost(f"{lease.id} is no longer held by {lease.owner} as attempt {lease.attempt}")


def renew(session: Session, table: LeasedTable, lease: Lease, lease_seconds: float, **changes: object) -> None:
    """Extend the lease to `lease_seconds` from now.

    Raises:
        LeaseLost: it ran out and was taken away.
    """
    write(session, table, lease, lease_until=seconds_now() + lease_seconds, **changes)


def renew_each(
    session: Session,
    table: LeasedTable,
    held: Sequence[Lease],
    lease_seconds: float,
    changes: Mapping[str, Mapping[str, Any]],
) -> tuple[Lease, ...]:
    """Extend several leases, with what `changes` has for each by its id; answers those that were lost.

    In the order of their ids, as a reaper goes: two that touch the same rows in one order cannot block each other.
    """
    lost: list[Lease] = []
    for lease in sorted(held, key=lambda lease: lease.id):
        try:
            renew(session, table, lease, lease_seconds, **changes.get(lease.id, {}))
        except LeaseLost:
            lost.append(lease)
    return tuple(lost)


def expire(session: Session, table: LeasedTable, owners: Collection[str], **changes: object) -> list[str]:
    """Let the leases of these processes run out now, and make `changes` besides; returns the ids of the rows."""
    held = sa.and_(table.owner.in_(owners), table.state == HELD[table], table.lease_until.is_not(None))
    statement = sa.update(table).where(held).values(lease_until=seconds_now() - 1, **changes)
    return list(session.scalars(statement.returning(table.id)))


def expired(table: LeasedTable, lease_seconds: float) -> sa.ColumnElement[bool]:
    """True for rows whose holder has not renewed in time.

    A lease that ends further ahead than any renewal could have set it (`lease_seconds`; twice that, for a margin) was given
    before the database's clock was put back. Its holder, if it lives, renews it within seconds; waiting for its end would
    leave the work of a dead one alone for as long as the clock was put back.
    """
    return sa.or_(
        table.lease_until < seconds_now(),
        table.lease_until > seconds_now() + 2 * lease_seconds,
    )
