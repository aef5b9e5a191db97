"""Claiming executions: the next ones in line, by one statement that waits for no lock.

Every worker comes here after each execution, so this is written for speed: statements are built once, on tables and not on
mapped classes, and what a worker needs to know of what it got is read afterwards (`rows_of`).
"""

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer, joinedload
from sqlalchemy.orm.attributes import set_committed_value

from noisegate.spec import FORMAT
from noisegate.store import experiments, leases
from noisegate.store.leases import Lease
from noisegate.store.states import State
from noisegate.store.tables import Cell, CellDataset, Execution, Experiment, utc_now

_EXECUTION, _EXPERIMENT = Execution.__table__.c, Experiment.__table__.c

# Few experiments are under way, and each is one look into an index, however many executions it has. Those that this code
# does not understand wait for newer workers.
_OLDEST = (
    sa.select(_EXPERIMENT.id, _EXPERIMENT.state)
    .where(
        _EXPERIMENT.state.in_([State.QUEUED, State.RUNNING]),
        _EXPERIMENT.format <= FORMAT,
        sa.exists().where(_EXECUTION.experiment_id == _EXPERIMENT.id, leases.waiting(Execution)),
    )
    .order_by(_EXPERIMENT.id)
    .limit(1)
)
_CHANGES = {
    "state": State.RUNNING,
    "started_at": sa.bindparam("moment"),
    "epochs_done": _EXECUTION.checkpoint_epochs,
    "error": sa.null(),
}


def _claiming_next_of(experiment: sa.ColumnElement[str]) -> sa.Update:
    following = (
        sa.select(_EXECUTION.id)
        .where(leases.waiting(Execution), _EXECUTION.experiment_id == experiment)
        .order_by(_EXECUTION.place)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    # Compared as a value, which is looked up once; a list would be looked up again for every row.
    return leases.claiming(Execution, _EXECUTION.id == following.scalar_subquery(), **_CHANGES)


_FIRST = _OLDEST.subquery()
# Nearly every claim: of the oldest experiment, which runs already, so that nothing but the execution need be locked.
_CLAIM_NEXT = _claiming_next_of(sa.select(_FIRST.c.id).where(_FIRST.c.state == State.RUNNING).scalar_subquery())
_CLAIM_NEXT_OF = _claiming_next_of(sa.bindparam("experiment", type_=sa.String()))

_CLAIMED = Execution.__table__.alias().c
_BESIDE = (
    sa.select(_EXECUTION.id)
    .where(
        leases.waiting(Execution),
        _EXECUTION.cell_id == sa.select(_CLAIMED.cell_id).where(_CLAIMED.id == sa.bindparam("first")).scalar_subquery(),
    )
    .order_by(_EXECUTION.position)
    .limit(sa.bindparam("most", type_=sa.Integer()))
    .with_for_update(skip_locked=True)
    .cte("beside")
)
_CLAIM_BESIDE = leases.claiming(Execution, _EXECUTION.id.in_(sa.select(_BESIDE.c.id)), **_CHANGES)


def claim(session: Session, *, owner: str, lease_seconds: float, capacity: int) -> list[Lease] | None:
    """Claim what has waited longest: up to `capacity` executions, all of one cell. Nothing waits: an empty list.

    Experiments of a newer spec format than this code's are left alone, as if they did not wait.

    None means that other workers were faster: ask again, in a transaction of its own.

    Only the first claim of an experiment takes its lock, to set it running. Any other locks nothing but the executions
    that it gets, and waits for no lock: workers claim concurrently, and no two transactions can block each other.
    """
    take = partial(leases.claim, session, owner=owner, lease_seconds=lease_seconds, moment=utc_now())
    granted = take(_CLAIM_NEXT)
    started: str | None = None
    if not granted:
        oldest = session.connection().execute(_OLDEST).first()
        if oldest is None:
            return []
        if oldest.state is State.QUEUED:
            started = experiments.lock(session, oldest.id).id
        granted = take(_CLAIM_NEXT_OF, experiment=oldest.id)
    if granted and capacity > 1:
        granted += claim_beside(session, granted[0], lease_seconds=lease_seconds, most=capacity - 1)
    if granted and started is not None:
        experiments.settle(session, started)
    return granted or None


def claim_beside(session: Session, held: Lease, *, lease_seconds: float, most: int) -> list[Lease]:
    """Claim up to `most` more executions of the cell of one that is held, for the same owner."""
    return leases.claim(
        session,
        _CLAIM_BESIDE,
        owner=held.owner,
        lease_seconds=lease_seconds,
        moment=utc_now(),
        first=held.id,
        most=most,
    )


# An experiment's spec may be long; its cell's is enough for a worker.
_OF_CELL = joinedload(Cell.experiment, innerjoin=True)
_NEEDED = (
    _OF_CELL.options(defer(Experiment.spec, raiseload=True)).joinedload(Experiment.dataset),
    joinedload(Cell.others).joinedload(CellDataset.dataset),
)


def rows_of(session: Session, granted: Sequence[Lease], cell: Cell | None = None) -> list[tuple[Execution, Lease]]:
    """The executions of one cell that were claimed, by number, each with its cell, experiment and dataset.

    Args:
        cell: theirs, if it has been read before. It is read once, however many they are, as its spec is parsed each time.
    """
    by_id = {lease.id: lease for lease in granted}
    query = sa.select(Execution).where(Execution.id.in_(by_id)).order_by(Execution.position)
    found = session.scalars(query.execution_options(populate_existing=True)).all()
    cell = cell or session.get_one(Cell, found[0].cell_id, options=_NEEDED)
    for execution in found:
        set_committed_value(execution, "cell", cell)
    return [(execution, by_id[execution.id]) for execution in found]
