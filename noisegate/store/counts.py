"""How many there are of everything, and how long the oldest has waited: one transaction that only reads, cheap at any size."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.store import leases
from noisegate.store.clock import within
from noisegate.store.states import DatasetState, DerivedState, State
from noisegate.store.tables import Dataset, Derived, Execution, Experiment, Worker, utc_now


@dataclass(frozen=True)
class StateCounts:
    """Counts by state, of all owners; states that nothing is in count 0.

    `oldest_queued_seconds` is since the oldest experiment was posted of which an execution could start now; 0 without any.
    """

    executions: dict[str, int]
    experiments: dict[str, int]
    datasets: dict[str, int]
    derived: dict[str, int]
    workers_alive: int
    oldest_queued_seconds: float


def take(session: Session, *, alive_seconds: float) -> StateCounts:
    """Count.

    Args:
        alive_seconds: how young the heartbeat of a worker that lives is.
    """
    alive = sa.select(sa.func.count()).select_from(Worker).where(within(Worker.beat_at, alive_seconds))
    return StateCounts(
        executions=_by_state(session, Execution.state, [state for state in State if state is not State.CANCELLING]),
        experiments=_by_state(session, Experiment.state, State),
        datasets=_by_state(session, Dataset.state, DatasetState),
        derived=_by_state(session, Derived.state, DerivedState),
        workers_alive=session.scalar(alive) or 0,
        oldest_queued_seconds=_oldest_queued_seconds(session),
    )


def _by_state(session: Session, column: Any, states: Any) -> dict[str, int]:
    rows = session.execute(sa.select(column, sa.func.count()).group_by(column))
    counted: dict[StrEnum, int] = dict(rows.all())
    return {state.value: counted.get(state, 0) for state in states}


def _oldest_queued_seconds(session: Session) -> float:
    # As a claim looks for it: one look into an index for each experiment that is under way, and ids rise with time.
    oldest = (
        sa.select(Experiment.created_at)
        .where(
            Experiment.state.in_([State.QUEUED, State.RUNNING]),
            sa.exists().where(Execution.experiment_id == Experiment.id, leases.waiting(Execution)),
        )
        .order_by(Experiment.id)
        .limit(1)
    )
    posted = session.scalar(oldest)
    return max(0.0, (utc_now() - posted).total_seconds()) if posted else 0.0
