"""Experiments: found, cancelled, and settled when executions end. They are made in noisegate.store.planning."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased, defer, joinedload, selectinload

from noisegate.api.problems import Failure
from noisegate.errors import Conflict, NotFound
from noisegate.store import events, judgements, publishing
from noisegate.store.clock import seconds_now
from noisegate.store.events import EventType
from noisegate.store.judgements import Judged
from noisegate.store.models import DEFAULT_ALIAS
from noisegate.store.pages import Page, page_of
from noisegate.store.sessions import require_own
from noisegate.store.states import EXPERIMENT_MOVES, State, settled_state
from noisegate.store.tables import Cell, Execution, Experiment, utc_now

# Specs may be long, and most answers tell nothing of a cell's; what they do tell stands here, or each cell would be read by
# itself.
_CELLS = selectinload(Experiment.cells)
_CELLS_SHOWN = _CELLS.load_only(
    Cell.position, Cell.point, Cell.experiment_id, Cell.is_base, Cell.finished_at, raiseload=True
)
# Its spec may be long, and is read neither under the lock nor to settle it.
_NO_SPEC = defer(Experiment.spec)


def get(session: Session, experiment_id: str, *, cell_specs: bool = False) -> Experiment:
    """The experiment with its cells.

    Args:
        cell_specs: whether the specs of its cells are read, too.

    Raises:
        NotFound: no such experiment.
    """
    query = sa.select(Experiment).where(Experiment.id == experiment_id)
    experiment = session.scalar(query.options(_CELLS if cell_specs else _CELLS_SHOWN))
    if experiment is None:
        remedy = "GET /experiments lists them."
        raise NotFound(f"there is no experiment {experiment_id!r}", field="experiment", remedy=remedy)
    return experiment


def page(session: Session, *, state: State | None, cursor: str | None, limit: int) -> Page[Experiment]:
    """Newest first."""
    query = sa.select(Experiment).options(_CELLS_SHOWN, joinedload(Experiment.dataset))
    if state is not None:
        query = query.where(Experiment.state == state)
    return page_of(session, query, Experiment.id, filters={"state": state}, cursor=cursor, limit=limit)


_BASE_FAILED = Failure(
    code="base-failed",
    title="The base execution failed",
    detail="the subgroup is chosen by what a base execution says of the training images, and that one failed",
    remedy="GET /experiments/{id}/executions?state=failed says why; mend that and post the experiment again.",
)

_DEADLINE_PASSED = Failure(
    code="deadline-passed",
    title="The time limit is over",
    detail="the experiment was cancelled because it had not ended within the time limit that began with its first execution",
    remedy="Post it again with a longer time_limit, or with less to do; executions that ended keep their results.",
)


@dataclass(frozen=True)
class Progress:
    """How far an experiment is, in epochs.

    Attributes:
        epochs_done: trained; of executions that failed or were cancelled, as far as they came.
        epochs_skipped: by executions that succeeded and stopped early.
        epochs_left: to be trained still.
    """

    counts: dict[State, int]
    epochs: int
    epochs_done: int
    epochs_skipped: int
    epochs_left: int

    @property
    def share_done(self) -> float:
        """0 … 1: what was trained, and what those that succeeded did not need as they stopped early."""
        return (self.epochs_done + self.epochs_skipped) / self.epochs if self.epochs else 0.0

    @property
    def share_over(self) -> float:
        """0 … 1: all that is not left to be trained."""
        return 1 - self.epochs_left / self.epochs if self.epochs else 0.0


def progress(session: Session, experiment_ids: Sequence[str]) -> dict[str, Progress]:
    """The progress of each of these experiments."""
    sums = (sa.func.count(), sa.func.sum(Execution.epochs), sa.func.sum(Execution.epochs_done))
    query = (
        sa.select(Execution.experiment_id, Execution.state, *sums)
        .where(Execution.experiment_id.in_(experiment_ids))
        .group_by(Execution.experiment_id, Execution.state)
    )
    rows: dict[str, list[tuple[State, int, int, int]]] = {id: [] for id in experiment_ids}
    for id, state, count, epochs, done in session.execute(query):
        rows[id].append((state, count, epochs, done))
    return {id: _progress(counted) for id, counted in rows.items()}


def _progress(rows: list[tuple[State, int, int, int]]) -> Progress:
    counts = Counter({state: count for state, count, _, _ in rows})
    open_still = (State.QUEUED, State.RUNNING)
    return Progress(
        counts={state: counts[state] for state in State if state is not State.CANCELLING},
        epochs=sum(epochs for _, _, epochs, _ in rows),
        epochs_done=sum(done for _, _, _, done in rows),
        epochs_skipped=sum(epochs - done for state, _, epochs, done in rows if state is State.SUCCEEDED),
        epochs_left=sum(epochs - done for state, _, epochs, done in rows if state in open_still),
    )


def cancel(session: Session, experiment_id: str, *, reason: Failure | None = None) -> Experiment:
    """Ask for the end: what waits is cancelled now, what runs stops between two batches. Asking twice is asking once.

    Args:
        reason: why, if no person asked for it.

    Raises:
        NotFound: no such experiment.
        NotYours: it is shared.
        Conflict: it has ended already, otherwise than by cancellation.
    """
    experiment = lock(session, experiment_id)
    if experiment.state in (State.CANCELLING, State.CANCELLED):
        return experiment
    if experiment.state.terminal:
        raise Conflict(f"experiment {experiment_id} has {experiment.state.value} already")
    _move(session, experiment, State.CANCELLING)
    experiment.cancel_requested_at, experiment.error = utc_now(), reason
    events.append(session, experiment, EventType.CANCELLING, reason=reason.code if reason else "requested")
    session.execute(
        sa.update(Execution)
        .where(Execution.experiment_id == experiment_id, Execution.state == State.QUEUED)
        .values(state=State.CANCELLED, finished_at=utc_now(), checkpoint_digest=None)
    )
    return settle(session, experiment_id)


def any_late() -> sa.ColumnElement[bool]:
    """True if there is anything to `expire`."""
    return sa.exists().where(_late())


def expire(session: Session) -> list[str]:
    """Cancel the experiments whose deadline has passed; returns their ids."""
    ids = list(session.scalars(sa.select(Experiment.id).where(_late()).order_by(Experiment.id)))
    for id in ids:
        # Meanwhile it may have ended by itself.
        with contextlib.suppress(Conflict):
            cancel(session, id, reason=_DEADLINE_PASSED)
    return ids


def _late() -> sa.ColumnElement[bool]:
    return sa.and_(Experiment.state.in_([State.QUEUED, State.RUNNING]), Experiment.deadline < seconds_now())


def lock(session: Session, experiment_id: str) -> Experiment:
    """Take the experiment's row for this transaction, as it is now.

    It is taken before any execution is changed: transactions that take locks in one order cannot block each
    other, and of two executions that end together the second sees the end of the first.

    Raises:
        NotFound: no such experiment.
        NotYours: it is shared.
    """
    query = sa.select(Experiment).where(Experiment.id == experiment_id).with_for_update()
    query = query.options(_NO_SPEC).execution_options(populate_existing=True)
    experiment = session.scalar(query)
    if experiment is None:
        raise NotFound(f"there is no experiment {experiment_id!r}", field="experiment")
    require_own(session, experiment)
    return experiment


def note_end(session: Session, experiment: Experiment, execution_id: str) -> None:
    """Enter that an execution has ended, and that its cell has, if it was the last one there.

    The caller holds the experiment's lock.
    """
    columns = (Execution.cell_id, Cell.position, Execution.position, Execution.state, Execution.metrics)
    query = sa.select(*columns, judgements.column()).join(Execution.cell).where(Execution.id == execution_id)
    cell_id, cell, number, state, metrics, document = session.execute(query).one()
    accuracy = metrics.accuracy if metrics else None
    told = {"cell": cell, "execution": number, "state": state.value, "accuracy": accuracy}
    if judgement := judgements.parsed(document):
        told["findings"] = [finding.model_dump() for finding in judgement.findings]
    events.append(session, experiment, EventType.EXECUTION_FINISHED, **told)
    _finish_cells(session, experiment, Cell.id == cell_id)


def settle(session: Session, experiment_id: str) -> Experiment:
    """Bring the experiment's state in line with its executions; called in every transaction that ends one.

    The caller holds the experiment's lock. An experiment that succeeds may give the alias `default` its model.
    """
    experiment = session.get_one(Experiment, experiment_id, options=[_NO_SPEC])
    present = _present(session, experiment_id)
    if {State.FAILED, State.QUEUED} <= present and _fail_dependents(session, experiment_id):
        present = _present(session, experiment_id)
    target = settled_state(experiment.state, present)
    if target is not experiment.state:
        published = publishing.publish_default(session, experiment) if target is State.SUCCEEDED else None
        _move(session, experiment, target, **({DEFAULT_ALIAS: published.model_dump()} if published else {}))
    return experiment


def fail_waiting(session: Session, experiment: Experiment, which: sa.ColumnElement[bool], error: Failure) -> None:
    """End those of an experiment's executions that wait for something that will not come, and settle it.

    The caller holds the experiment's lock.
    """
    statement = (
        sa.update(Execution)
        .where(Execution.experiment_id == experiment.id, Execution.state == State.QUEUED, which)
        .values(state=State.FAILED, error=error, finished_at=utc_now(), checkpoint_digest=None)
        .execution_options(synchronize_session=False)
    )
    session.execute(statement)
    _finish_cells(session, experiment, Cell.experiment_id == experiment.id)
    settle(session, experiment.id)


def _present(session: Session, experiment_id: str) -> set[State]:
    """The states that any of its executions is in: five looks into an index, however many there are."""
    states = [state for state in State if state is not State.CANCELLING]
    looks = [
        sa.exists().where(Execution.experiment_id == experiment_id, Execution.state == state).label(state.value)
        for state in states
    ]
    row = session.execute(sa.select(*looks)).one()
    return {state for state, found in zip(states, row, strict=True) if found}


def _finish_cells(session: Session, experiment: Experiment, which: sa.ColumnElement[bool]) -> None:
    open_still = sa.exists().where(Execution.cell_id == Cell.id, Execution.state.in_([State.QUEUED, State.RUNNING]))
    statement = (
        sa.update(Cell)
        .where(which, Cell.finished_at.is_(None), ~open_still)
        .values(finished_at=utc_now())
        .execution_options(synchronize_session=False)
        .returning(Cell.id, Cell.position)
    )
    finished = dict(session.execute(statement).all())
    judged = judgements.by_cell(session, Execution.cell_id.in_(finished)) if finished else {}
    for id, position in sorted(finished.items(), key=lambda pair: pair[1]):
        events.append(session, experiment, EventType.CELL_FINISHED, cell=position, **_told_of(judged.get(id, [])))


def _told_of(judged: Sequence[Judged]) -> dict[str, int]:
    """How many executions of a cell have not learnt; nothing of one that was not judged."""
    if not any(one.judgement for one in judged):
        return {}
    return {"not_learnt": sum(bool(one.findings) for one in judged)}


def _fail_dependents(session: Session, experiment_id: str) -> bool:
    """Fail what waits for an execution that has failed: it would wait for ever. Returns whether there was any."""
    base = aliased(Execution)
    hopeless = sa.exists().where(base.id == Execution.depends_on, base.state == State.FAILED)
    statement = (
        sa.update(Execution)
        .where(Execution.experiment_id == experiment_id, Execution.state == State.QUEUED, hopeless)
        .values(state=State.FAILED, error=_BASE_FAILED, finished_at=utc_now())
        .execution_options(synchronize_session=False)
        .returning(Execution.id)
    )
    return bool(session.scalars(statement).all())


def _move(session: Session, experiment: Experiment, target: State, **told: object) -> None:
    assert target in EXPERIMENT_MOVES[experiment.state], f"{experiment.state} does not lead to {target}"
    experiment.state = target
    if target is State.RUNNING:
        experiment.started_at = utc_now()
        if experiment.time_limit is not None:
            experiment.deadline = seconds_now() + experiment.time_limit
        events.append(session, experiment, EventType.STARTED)
    if target.terminal:
        experiment.finished_at = utc_now()
        # Those whose last executions were ended all at once, by a cancellation or because their base had failed.
        _finish_cells(session, experiment, Cell.experiment_id == experiment.id)
        events.append(session, experiment, EventType.FINISHED, state=target.value, **told)
