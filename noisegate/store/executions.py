"""Executions: claimed by workers, renewed while they train, ended exactly once.

Every function here that ends an execution also settles its experiment, in the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer, selectinload

from noisegate.store import experiments, leases
from noisegate.store.clock import seconds_now
from noisegate.store.leases import Lease
from noisegate.store.pages import Page, page_of
from noisegate.store.states import EXECUTION_MOVES, State
from noisegate.store.tables import Cell, Execution, Experiment, utc_now


@dataclass(frozen=True)
class Outcome:
    """What a succeeded execution yields; `metrics` is a manifest.Metrics as JSON, `details` a details.Details.

    What a kind of experiment does not have is None. `scores_digest` names the scored training set of a base execution.
    """

    metrics: dict[str, Any] | None
    details: dict[str, Any]
    holdout_accuracy: float | None
    losses_by_epoch: list[float] | None
    train_seconds: float
    images_per_second: float | None
    precision: str | None
    device: str
    versions: dict[str, str]
    scores_digest: str | None = None


@dataclass(frozen=True)
class Reaped:
    """What a look for lost leases found."""

    requeued: list[str]
    failed: list[str]
    cancelled: list[str]


def claim(session: Session, *, owner: str, lease_seconds: float, capacity: int) -> list[tuple[Execution, Lease]] | None:
    """Claim what has waited longest: up to `capacity` executions, all of one cell. Nothing waits: an empty list.

    None means that other workers were faster: ask again, in a transaction of its own. (This one holds the lock of an
    experiment, and nobody takes a second.)

    Within an experiment every cell gets its first execution before any gets its second, so that a table fills evenly.
    """
    if (oldest := _oldest_waiting(session)) is None:
        return []
    cell_id, experiment_id = oldest
    experiments.lock(session, experiment_id)
    candidates = session.scalars(
        sa.select(Execution.id)
        .where(Execution.cell_id == cell_id, leases.waiting(Execution))
        .order_by(Execution.position)
        .limit(capacity)
    ).all()
    changes = {"state": State.RUNNING, "started_at": utc_now(), "epochs_done": 0, "error": None}
    granted = leases.claim(session, Execution, candidates, owner=owner, lease_seconds=lease_seconds, **changes)
    if not granted:
        return None
    experiments.settle(session, experiment_id)
    return _with_rows(session, granted)


def count_waiting(session: Session, *, most: int) -> int:
    """How many executions could be claimed now; counts no further than `most`."""
    query = sa.select(Execution.id).where(leases.waiting(Execution)).limit(most)
    return session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0


def is_base(session: Session, execution_id: str) -> bool:
    """Whether others depend on this execution's scores of the training set."""
    return bool(session.scalar(sa.select(sa.exists().where(Execution.depends_on == execution_id))))


def note_scores(session: Session, execution_id: str, digest: str, details: dict[str, Any]) -> None:
    """Say where the scores of a succeeded execution are. Whoever computes them gets the same bytes, so the last one wins."""
    changes = {"scores_digest": digest, "details": details}
    session.execute(sa.update(Execution).where(Execution.id == execution_id).values(**changes))


def _oldest_waiting(session: Session) -> tuple[str, str] | None:
    query = sa.select(Execution.cell_id, Execution.experiment_id).join(Execution.cell).where(leases.waiting(Execution))
    query = query.order_by(Execution.experiment_id, Execution.position, Cell.position).limit(1)
    row = session.execute(query).first()
    return (row[0], row[1]) if row else None


def _with_rows(session: Session, granted: Sequence[Lease]) -> list[tuple[Execution, Lease]]:
    claimed = {lease.id: lease for lease in granted}
    query = sa.select(Execution).where(Execution.id.in_(claimed)).order_by(Execution.position)
    query = query.options(selectinload(Execution.cell).selectinload(Cell.experiment).selectinload(Experiment.dataset))
    found = session.scalars(query.execution_options(populate_existing=True))
    return [(execution, claimed[execution.id]) for execution in found]


def renew(session: Session, lease: Lease, lease_seconds: float, **progress: object) -> bool:
    """Extend the lease and note the progress (epochs_done, images_per_second). Answers whether the execution may go on.

    Raises:
        LeaseLost: it is no longer this worker's.
    """
    leases.renew(session, Execution, lease, lease_seconds, **progress)
    query = sa.select(Experiment.state).join(Execution, Execution.experiment_id == Experiment.id)
    return session.scalar(query.where(Execution.id == lease.id)) != State.CANCELLING


def record_success(session: Session, lease: Lease, outcome: Outcome) -> Experiment:
    """The execution's one accepted result.

    Raises:
        LeaseLost: another worker has taken over; nothing was recorded.
    """
    changes = {"state": State.SUCCEEDED, "epochs_done": Execution.epochs, **vars(outcome)}
    return _end(session, lease, **changes)


def record_failure(session: Session, lease: Lease, error: dict[str, Any]) -> Experiment:
    """The execution failed for a reason that another attempt would meet again."""
    return _end(session, lease, state=State.FAILED, error=error)


def record_cancelled(session: Session, lease: Lease) -> Experiment:
    """The execution stopped because its experiment was cancelled."""
    return _end(session, lease, state=State.CANCELLED)


def note_trouble(session: Session, lease: Lease, error: dict[str, Any]) -> None:
    """Say why a lease is about to run out: trouble of the worker's machine, which another worker may not have.

    Raises:
        LeaseLost: another worker has taken over.
    """
    leases.write(session, Execution, lease, error=error)


def release(session: Session, lease: Lease) -> None:
    """Give the execution back, to be started again by anyone; not counted as a loss."""
    experiment = experiments.lock(session, session.get_one(Execution, lease.id).experiment_id)
    state = State.CANCELLED if experiment.state is State.CANCELLING else State.QUEUED
    ended = utc_now() if state.terminal else None
    changes = {"owner": None, "lease_until": None, "epochs_done": 0, "started_at": None, "finished_at": ended}
    leases.write(session, Execution, lease, state=state, woken_at=seconds_now(), **changes)
    experiments.settle(session, experiment.id)


def reap(session: Session, *, max_losses: int, error: dict[str, Any]) -> Reaped:
    """Take lost leases away: executions of cancelled experiments end, those lost too often fail, others wait again.

    One that fails keeps the trouble that its last worker noted (`note_trouble`); without any, `error` is its reason.
    """
    lost = session.execute(
        sa.select(Execution.id, Execution.experiment_id, Execution.losses, Execution.error)
        .where(Execution.state == State.RUNNING, leases.expired(Execution))
        .order_by(Execution.experiment_id)
    )
    found: dict[State, list[str]] = {State.QUEUED: [], State.FAILED: [], State.CANCELLED: []}
    for id, experiment_id, losses, known_error in lost.all():
        experiment = experiments.lock(session, experiment_id)
        target = _after_loss(experiment.state, losses + 1, max_losses)
        if _take_away(session, id, losses + 1, target, known_error, error):
            found[target].append(id)
            experiments.settle(session, experiment_id)
    return Reaped(found[State.QUEUED], found[State.FAILED], found[State.CANCELLED])


def _take_away(
    session: Session, id: str, losses: int, target: State, known_error: dict[str, Any] | None, error: dict[str, Any]
) -> bool:
    """Answers whether the lease was still lost when the row was touched: its holder may have come back."""
    statement = (
        sa.update(Execution)
        .where(Execution.id == id, Execution.state == State.RUNNING, leases.expired(Execution))
        .values(
            state=target,
            # One that fails keeps its worker's name: the reason stands in that worker's log.
            owner=Execution.owner if target is State.FAILED else None,
            lease_until=None,
            losses=losses,
            woken_at=seconds_now(),
            epochs_done=0,
            **({"error": known_error or error} if target is State.FAILED else {}),
            finished_at=utc_now() if target.terminal else None,
        )
        .returning(Execution.id)
    )
    return session.scalar(statement) is not None


def overdue(session: Session, *, wakeup_seconds: float, limit: int) -> Sequence[str]:
    """Executions that wait although they were woken long ago, at most `limit`; they count as woken now."""
    chosen = (
        sa.select(Execution.id)
        .where(leases.overdue(Execution, wakeup_seconds))
        .order_by(Execution.experiment_id, Execution.position)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = sa.update(Execution).where(Execution.id.in_(chosen)).values(woken_at=seconds_now())
    return session.scalars(statement.returning(Execution.id)).all()


def page(
    session: Session, experiment_id: str, *, state: State | None, cursor: str | None, limit: int
) -> Page[Execution]:
    """An experiment's executions, newest first, each with its cell."""
    query = sa.select(Execution).where(Execution.experiment_id == experiment_id).options(selectinload(Execution.cell))
    if state is not None:
        query = query.where(Execution.state == state)
    return page_of(session, query, Execution.id, cursor=cursor, limit=limit)


def of_experiment(session: Session, experiment_id: str, *, losses: bool = True) -> Sequence[Execution]:
    """All executions of an experiment, by cell and number; the losses of each epoch would be most of the bytes."""
    query = sa.select(Execution).join(Execution.cell).where(Execution.experiment_id == experiment_id)
    if not losses:
        query = query.options(defer(Execution.losses_by_epoch, raiseload=True))
    return session.scalars(query.order_by(Cell.position, Execution.position)).all()


def find(session: Session, experiment_id: str, cell: int, execution: int) -> Execution | None:
    """The execution with this number in the cell with that number."""
    query = sa.select(Execution).join(Execution.cell).where(Cell.experiment_id == experiment_id)
    return session.scalar(query.where(Cell.position == cell, Execution.position == execution))


def _end(session: Session, lease: Lease, **changes: object) -> Experiment:
    experiment = experiments.lock(session, session.get_one(Execution, lease.id).experiment_id)
    assert changes["state"] in EXECUTION_MOVES[State.RUNNING]
    leases.write(session, Execution, lease, lease_until=None, finished_at=utc_now(), **changes)
    return experiments.settle(session, experiment.id)


def _after_loss(experiment: State, losses: int, max_losses: int) -> State:
    if experiment is State.CANCELLING:
        return State.CANCELLED
    return State.FAILED if losses >= max_losses else State.QUEUED
