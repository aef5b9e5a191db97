"""Experiments: found, cancelled, and settled when executions end. They are made in noisegate.store.planning."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session, aliased, joinedload, selectinload

from noisegate.errors import Conflict, NotFound
from noisegate.store import models
from noisegate.store.pages import Page, page_of
from noisegate.store.states import EXPERIMENT_MOVES, State, settled_state
from noisegate.store.tables import Cell, Execution, Experiment, utc_now


def get(session: Session, experiment_id: str) -> Experiment:
    """The experiment with its cells.

    Raises:
        NotFound: no such experiment.
    """
    query = sa.select(Experiment).where(Experiment.id == experiment_id).options(selectinload(Experiment.cells))
    experiment = session.scalar(query)
    if experiment is None:
        remedy = "GET /experiments lists them."
        raise NotFound(f"there is no experiment {experiment_id!r}", field="experiment", remedy=remedy)
    return experiment


def page(session: Session, *, state: State | None, cursor: str | None, limit: int) -> Page[Experiment]:
    """Newest first."""
    cells = selectinload(Experiment.cells).load_only(Cell.position, Cell.point, Cell.experiment_id, Cell.is_base)
    query = sa.select(Experiment).options(cells, joinedload(Experiment.dataset))
    if state is not None:
        query = query.where(Experiment.state == state)
    return page_of(session, query, Experiment.id, cursor=cursor, limit=limit)


_BASE_FAILED = {
    "code": "base-failed",
    "title": "The base execution failed",
    "detail": "the subgroup is chosen by what a base execution says of the training images, and that one failed",
    "remedy": "GET /experiments/{id}/executions?state=failed says why; mend that and post the experiment again.",
    "errors": [],
}


@dataclass(frozen=True)
class Progress:
    """How far an experiment is."""

    counts: dict[State, int]
    epochs: int
    epochs_done: int

    @property
    def share_done(self) -> float:
        """0 … 1, in epochs, those of executions that ended otherwise counted as done."""
        return self.epochs_done / self.epochs if self.epochs else 0.0


def progress(session: Session, experiment_ids: Sequence[str]) -> dict[str, Progress]:
    """The progress of each of these experiments."""
    done = sa.case((Execution.state.in_([State.QUEUED, State.RUNNING]), Execution.epochs_done), else_=Execution.epochs)
    query = (
        sa.select(
            Execution.experiment_id, Execution.state, sa.func.count(), sa.func.sum(Execution.epochs), sa.func.sum(done)
        )
        .where(Execution.experiment_id.in_(experiment_ids))
        .group_by(Execution.experiment_id, Execution.state)
    )
    rows = session.execute(query).all()
    return {id: _progress([tuple(row[1:]) for row in rows if row[0] == id]) for id in experiment_ids}


def _progress(rows: list[tuple[State, int, int, int]]) -> Progress:
    counts = Counter({state: count for state, count, _, _ in rows})
    return Progress(
        counts={state: counts[state] for state in State if state is not State.CANCELLING},
        epochs=sum(row[2] for row in rows),
        epochs_done=sum(row[3] for row in rows),
    )


def cancel(session: Session, experiment_id: str) -> Experiment:
    """Ask for the end: what waits is cancelled now, what runs stops between two batches. Asking twice is asking once.

    Raises:
        NotFound: no such experiment.
        Conflict: it has ended already, otherwise than by cancellation.
    """
    experiment = lock(session, experiment_id)
    if experiment.state in (State.CANCELLING, State.CANCELLED):
        return experiment
    if experiment.state.terminal:
        raise Conflict(f"experiment {experiment_id} has {experiment.state.value} already")
    _move(experiment, State.CANCELLING)
    experiment.cancel_requested_at = utc_now()
    session.execute(
        sa.update(Execution)
        .where(Execution.experiment_id == experiment_id, Execution.state == State.QUEUED)
        .values(state=State.CANCELLED, finished_at=utc_now())
    )
    return settle(session, experiment_id)


def lock(session: Session, experiment_id: str) -> Experiment:
    """Take the experiment's row for this transaction, as it is now.

    Whoever changes executions takes it before touching any: transactions that take locks in one order cannot block each
    other, and of two executions that end together the second sees the end of the first.

    Raises:
        NotFound: no such experiment.
    """
    query = sa.select(Experiment).where(Experiment.id == experiment_id).with_for_update()
    experiment = session.scalar(query.execution_options(populate_existing=True))
    if experiment is None:
        raise NotFound(f"there is no experiment {experiment_id!r}", field="experiment")
    return experiment


def settle(session: Session, experiment_id: str) -> Experiment:
    """Bring the experiment's state in line with its executions; called in every transaction that changes one.

    The caller holds the experiment's lock. An experiment that succeeds gives the alias `default` its first model.
    """
    experiment = session.get_one(Experiment, experiment_id)
    counts = _count(session, experiment_id)
    if counts.get(State.FAILED) and counts.get(State.QUEUED) and _fail_dependents(session, experiment_id):
        counts = _count(session, experiment_id)
    target = settled_state(experiment.state, counts)
    if target is not experiment.state:
        _move(experiment, target)
        if target is State.SUCCEEDED:
            models.publish_default(session, experiment_id)
    return experiment


def _count(session: Session, experiment_id: str) -> dict[State, int]:
    query = sa.select(Execution.state, sa.func.count()).where(Execution.experiment_id == experiment_id)
    counts: dict[State, int] = dict(session.execute(query.group_by(Execution.state)).all())
    return counts


def _fail_dependents(session: Session, experiment_id: str) -> bool:
    """Fail what waits for an execution that has failed: it would wait for ever. Answers whether there was any."""
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


def _move(experiment: Experiment, target: State) -> None:
    assert target in EXPERIMENT_MOVES[experiment.state], f"{experiment.state} does not lead to {target}"
    experiment.state = target
    if target is State.RUNNING:
        experiment.started_at = utc_now()
    if target.terminal:
        experiment.finished_at = utc_now()
