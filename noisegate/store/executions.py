"""Executions: renewed while they train, ended exactly once. How they are claimed stands in `claims`, how they are lost in `losses`.

Every function here that ends an execution also settles its experiment, in the caller's transaction.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer, selectinload

from noisegate.api.problems import Failure
from noisegate.details import Details
from noisegate.manifest import Metrics
from noisegate.spec import FORMAT
from noisegate.store import events, experiments, leases
from noisegate.store.clock import seconds_now
from noisegate.store.events import EventType
from noisegate.store.leases import Lease, LeaseLost, Renewed
from noisegate.store.pages import Page, page_of
from noisegate.store.states import EXECUTION_MOVES, State
from noisegate.store.tables import Cell, Execution, Experiment, utc_now

_AT_ONCE = 250


@dataclass(frozen=True, kw_only=True)
class ExecutionResult:
    """The result of one execution: columns of its row, by their names. What its kind does not have is None."""

    metrics: Metrics | None = None
    details: Details = field(default_factory=Details)
    holdout_accuracy: float | None = None
    losses_by_epoch: list[float] | None = None
    train_seconds: float
    images_per_second: float | None = None
    precision: str | None = None
    device: str
    versions: dict[str, str]


# Of an execution that is to be started again: what it has come to beyond its checkpoint does not count.
WAITING_ANEW: dict[str, Any] = {
    "owner": None,
    "started_at": None,
    "epochs_done": Execution.checkpoint_epochs,
    "losses_by_epoch": None,
    "details": None,
}


def count_waiting(session: Session, *, most: int) -> int:
    """How many executions could be claimed now; counts no further than `most`."""
    query = sa.select(Execution.id).join(Experiment, Execution.experiment_id == Experiment.id)
    query = query.where(leases.waiting(Execution), Experiment.format <= FORMAT).limit(most)
    return session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0


def is_base(session: Session, execution_id: str) -> bool:
    """Whether others depend on this execution's scores of the training set."""
    return bool(session.scalar(sa.select(sa.exists().where(Execution.depends_on == execution_id))))


def note_scores(session: Session, execution_id: str, digest: str, details: Details) -> None:
    """Enter where the scores of a succeeded execution are. They are the same bytes each time, so the last write wins."""
    changes = {"scores_digest": digest, "details": details}
    session.execute(sa.update(Execution).where(Execution.id == execution_id).values(**changes))


def renew_all(
    session: Session, held: Sequence[Lease], lease_seconds: float, progress: Mapping[str, Mapping[str, Any]]
) -> Renewed:
    """Extend the leases on executions of one experiment, and note the progress of each.

    A lease that was lost is answered, not raised, and the others are renewed all the same.

    Args:
        progress: epochs_done, and columns that say more of how far it is, by the execution's id, of those that have any.
    """
    columns = (Execution.id, Execution.experiment_id, Execution.epochs_done, Experiment.state)
    query = sa.select(*columns).join(Experiment, Execution.experiment_id == Experiment.id)
    rows = session.execute(query.where(Execution.id.in_([lease.id for lease in held]))).all()
    moved = {
        row.id: row.epochs_done
        for row in rows
        if progress.get(row.id, {}).get("epochs_done", row.epochs_done) != row.epochs_done
    }
    # The lock is taken before any execution is touched, as everywhere, and only when there is something to tell.
    experiment = experiments.lock(session, rows[0].experiment_id) if moved else None
    lost = leases.renew_each(session, Execution, held, lease_seconds, progress)
    if experiment is not None:
        gone = {lease.id for lease in lost}
        _note_epochs(session, experiment, {id: epochs for id, epochs in moved.items() if id not in gone}, progress)
    return Renewed(lost, may_go_on=all(row.state is not State.CANCELLING for row in rows))


def _note_epochs(
    session: Session,
    experiment: Experiment,
    told_before: Mapping[str, int],
    progress: Mapping[str, Mapping[str, Any]],
) -> None:
    columns = (Execution.position, Execution.epochs_done, Execution.epochs, Execution.images_per_second)
    query = sa.select(Execution.id, Cell.position, *columns).join(Execution.cell)
    rows = session.execute(query.where(Execution.id.in_(told_before)).order_by(Cell.position, Execution.position))
    for id, cell, number, epoch, epochs, speed in rows:
        told: dict[str, Any] = {
            "cell": cell,
            "execution": number,
            "epoch": epoch,
            "epochs": epochs,
            "images_per_second": speed,
        }
        told |= _losses_since(progress[id], told_before[id])
        events.append(session, experiment, EventType.EPOCH, **told)


def _losses_since(progress: Mapping[str, Any], epoch: int) -> dict[str, list[float | None]]:
    """Those of the epochs after this one, as far as its progress has any."""
    details: Details | None = progress.get("details")
    stopping = details.early_stopping if details else None
    found = {"losses": progress.get("losses_by_epoch"), "holdout_losses": stopping and stopping.holdout_losses}
    return {name: losses[epoch:] for name, losses in found.items() if losses}


def checkpoint_of(session: Session, lease: Lease) -> list[str]:
    """The digest of the execution's last checkpoint, if it has one: a candidate for `files.discard` once it has ended."""
    digest = session.scalar(sa.select(Execution.checkpoint_digest).where(Execution.id == lease.id))
    return [digest] if digest else []


def note_checkpoint(session: Session, lease: Lease, digest: str, epochs: int) -> str | None:
    """The next claim of this execution continues after `epochs` epochs. Returns the checkpoint that this one replaces.

    Raises:
        LeaseLost: another worker has taken over.
    """
    replaced = session.scalar(sa.select(Execution.checkpoint_digest).where(Execution.id == lease.id))
    leases.write(session, Execution, lease, checkpoint_digest=digest, checkpoint_epochs=epochs)
    return replaced


def record_success(
    session: Session,
    lease: Lease,
    result: ExecutionResult,
    *,
    scores_digest: str | None = None,
    samples_digest: str | None = None,
    dynamics_digest: str | None = None,
) -> Experiment:
    """The execution's one accepted result.

    Args:
        scores_digest: of the scored training set, which a base execution has.
        samples_digest: of the scores of each test image, which some kinds keep.
        dynamics_digest: of what it said of each training image, where that is recorded.

    Raises:
        LeaseLost: another worker has taken over; nothing was recorded.
    """
    stopped, losses = result.details.early_stopping is not None, result.losses_by_epoch
    done = len(losses) if stopped and losses else Execution.epochs
    digests = {"scores_digest": scores_digest, "samples_digest": samples_digest, "dynamics_digest": dynamics_digest}
    changes = {"state": State.SUCCEEDED, "epochs_done": done, **digests}
    return _end(session, lease, **changes, **vars(result))


def record_failure(session: Session, lease: Lease, error: Failure) -> Experiment:
    """The execution failed for a reason that another attempt would meet again."""
    return _end(session, lease, state=State.FAILED, error=error)


def record_cancelled(session: Session, lease: Lease, progress: Mapping[str, Any] | None = None) -> Experiment:
    """The execution stopped because its experiment was cancelled.

    Args:
        progress: as in `renew_all`, since the last heartbeat.
    """
    return _end(session, lease, state=State.CANCELLED, **(progress or {}))


def note_failure(session: Session, lease: Lease, error: Failure) -> None:
    """Enter why a lease is about to run out: a failure of the worker's machine, which another worker may not meet.

    Raises:
        LeaseLost: another worker has taken over.
    """
    leases.write(session, Execution, lease, error=error)


def release(session: Session, lease: Lease) -> None:
    """Give the execution back, to be started again by anyone; not counted as a loss."""
    experiment = experiments.lock(session, _experiment_of(session, lease))
    if experiment.state is State.CANCELLING:
        _end(session, lease, state=State.CANCELLED)
        return
    leases.write(
        session, Execution, lease, state=State.QUEUED, woken_at=seconds_now(), lease_until=None, **WAITING_ANEW
    )
    note_waiting_anew(session, experiment, lease.id)


def note_waiting_anew(session: Session, experiment: Experiment, execution_id: str) -> None:
    """Enter that an execution is to be started again: at the epoch of its checkpoint. The caller holds the experiment's lock."""
    columns = (Execution.position, Execution.epochs_done, Execution.epochs)
    query = sa.select(Cell.position, *columns).join(Execution.cell).where(Execution.id == execution_id)
    cell, number, epoch, epochs = session.execute(query).one()
    told = {"cell": cell, "execution": number, "epoch": epoch, "epochs": epochs, "images_per_second": None}
    events.append(session, experiment, EventType.EPOCH, **told, state=State.QUEUED.value)


def page(
    session: Session, experiment_id: str, *, state: State | None, cursor: str | None, limit: int
) -> Page[Execution]:
    """An experiment's executions, newest first, each with its cell."""
    cell = selectinload(Execution.cell).load_only(Cell.position, Cell.point, raiseload=True)
    query = sa.select(Execution).where(Execution.experiment_id == experiment_id).options(cell)
    if state is not None:
        query = query.where(Execution.state == state)
    filters = {"experiment": experiment_id, "state": state}
    return page_of(session, query, Execution.id, filters=filters, cursor=cursor, limit=limit)


def of_experiment(session: Session, experiment_id: str, *, losses: bool = True) -> Sequence[Execution]:
    """All executions of an experiment, by cell and number; the losses of each epoch would be most of the bytes."""
    query = sa.select(Execution).join(Execution.cell).where(Execution.experiment_id == experiment_id)
    if not losses:
        query = query.options(defer(Execution.losses_by_epoch, raiseload=True))
    return session.scalars(query.order_by(Cell.position, Execution.position)).all()


def outcomes(session: Session, experiment_id: str, cells: Collection[int]) -> Iterator[sa.Row[Any]]:
    """What a table of results is made of: of each execution that has succeeded no more than that, by cell and number.

    Some hundreds are in memory at a time.

    Args:
        cells: positions of the cells whose executions are read.
    """
    # Versions as text: thousands of executions have the same, to be parsed once.
    versions = sa.cast(Execution.versions, sa.Text).label("versions")
    columns: tuple[Any, ...] = (Execution.position, Execution.seed, Execution.metrics, Execution.details, versions)
    columns += (Execution.train_seconds, Execution.images_per_second, Execution.precision, Execution.device)
    query = sa.select(Cell.position.label("cell"), Execution.holdout_accuracy, *columns).join(Execution.cell)
    query = query.where(Execution.experiment_id == experiment_id, Execution.state == State.SUCCEEDED)
    query = query.where(Cell.position.in_(cells)).order_by(Cell.position, Execution.position)
    yield from session.execute(query.execution_options(yield_per=_AT_ONCE))


def curves_of(session: Session, experiment_id: str) -> Sequence[sa.Row[Any]]:
    """What every execution measured after each epoch, by cell and number, with no more of each than that."""
    columns = (Execution.id, Execution.seed, Execution.state, Execution.losses_by_epoch)
    stopping = sa.type_coerce(Execution.details, sa.JSON)["early_stopping"]["holdout_losses"]
    query = sa.select(
        Cell.position.label("cell"), Execution.position.label("execution"), *columns, stopping.label("holdout_losses")
    ).join(Execution.cell)
    query = query.where(Execution.experiment_id == experiment_id)
    return session.execute(query.order_by(Cell.position, Execution.position)).all()


def losses(session: Session, experiment_id: str) -> list[tuple[int, list[float]]]:
    """Cell and losses by epoch of each execution that has succeeded, by cell and number; of base cells none."""
    query = sa.select(Cell.position, Execution.losses_by_epoch).join(Execution.cell)
    query = query.where(Execution.experiment_id == experiment_id, Cell.is_base.is_(False))
    query = query.where(Execution.state == State.SUCCEEDED)
    rows = session.execute(query.order_by(Cell.position, Execution.position))
    return [(cell, found) for cell, found in rows if found]


def values(session: Session, experiment_id: str, name: str) -> list[tuple[int, float]]:
    """Cell and value of a number of each execution that has succeeded, by cell and number.

    Args:
        name: of a column, or of a field of `metrics`.
    """
    column = getattr(Execution, name, None)
    number = sa.type_coerce(Execution.metrics, sa.JSON)[name].as_float() if column is None else column
    query = sa.select(Cell.position, number).join(Execution.cell)
    query = query.where(Execution.experiment_id == experiment_id, Execution.state == State.SUCCEEDED)
    rows = session.execute(query.order_by(Cell.position, Execution.position))
    return [(cell, value) for cell, value in rows if value is not None]


def counts_by_cell(session: Session, experiment_id: str) -> dict[int, dict[State, int]]:
    """How many executions of each cell are in which state, by the cell's position."""
    query = sa.select(Cell.position, Execution.state, sa.func.count()).join(Execution.cell)
    query = query.where(Execution.experiment_id == experiment_id).group_by(Cell.position, Execution.state)
    found: dict[int, dict[State, int]] = {}
    for cell, state, count in session.execute(query):
        found.setdefault(cell, {})[state] = count
    return found


def of_cell(session: Session, experiment_id: str, cell: int) -> Sequence[Execution]:
    """The executions of one cell by their numbers."""
    query = sa.select(Execution).join(Execution.cell).where(Execution.experiment_id == experiment_id)
    return session.scalars(query.where(Cell.position == cell).order_by(Execution.position)).all()


def running(session: Session, experiment_id: str, *, most: int) -> Sequence[Execution]:
    """The executions of an experiment that run, each with its cell; at most so many."""
    query = sa.select(Execution).options(
        selectinload(Execution.cell).load_only(Cell.position, Cell.point, Cell.is_base, raiseload=True)
    )
    query = query.where(Execution.experiment_id == experiment_id, Execution.state == State.RUNNING)
    return session.scalars(query.order_by(Execution.place).limit(most)).all()


def samples_of(
    session: Session, experiment_id: str, *, cell: int | None = None, execution: int | None = None
) -> list[tuple[int, int, str]]:
    """Cell, number and digest of the executions that keep the scores of each test image, in that order."""
    query = sa.select(Cell.position, Execution.position, Execution.samples_digest).join(Execution.cell)
    query = query.where(Execution.experiment_id == experiment_id, Execution.samples_digest.is_not(None))
    if cell is not None:
        query = query.where(Cell.position == cell)
    if execution is not None:
        query = query.where(Execution.position == execution)
    rows = session.execute(query.order_by(Cell.position, Execution.position)).all()
    return [(of_cell, number, digest) for of_cell, number, digest in rows if digest is not None]


def find(session: Session, experiment_id: str, cell: int, execution: int) -> Execution | None:
    """The execution with this number in the cell with that number."""
    query = sa.select(Execution).join(Execution.cell).join(Cell.experiment).where(Cell.experiment_id == experiment_id)
    return session.scalar(query.where(Cell.position == cell, Execution.position == execution))


def _end(session: Session, lease: Lease, **changes: Any) -> Experiment:
    assert changes["state"] in EXECUTION_MOVES[State.RUNNING]
    experiment = experiments.lock(session, _experiment_of(session, lease))
    ended = {"lease_until": None, "finished_at": utc_now(), "checkpoint_digest": None}
    leases.write(session, Execution, lease, **ended, **changes)
    experiments.note_end(session, experiment, lease.id)
    return experiments.settle(session, experiment.id)


def _experiment_of(session: Session, lease: Lease) -> str:
    experiment_id = session.scalar(sa.select(Execution.experiment_id).where(Execution.id == lease.id))
    if experiment_id is None:
        raise LeaseLost(f"execution {lease.id} is gone")
    return experiment_id
