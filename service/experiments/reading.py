"""Experiments as they are answered: a fixed number of statements for a page of them, however many executions they have."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.problems import Failure
from noisegate.store import awaiting, experiments, publishing
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from service.experiments.schemas import ExperimentRead


def read(session: Session, rows: Sequence[Experiment]) -> list[ExperimentRead]:
    """The rows with their progress and what they wait for; why they failed, or what their success did to `default`."""
    progress = experiments.progress(session, [row.id for row in rows])
    errors = _first_errors(session, [row.id for row in rows if row.state is State.FAILED])
    told = publishing.published(session, [row.id for row in rows if row.state is State.SUCCEEDED])
    awaited = awaiting.awaited_by(session, [row.id for row in rows if not row.state.terminal])
    return [
        ExperimentRead.of(
            row, progress[row.id], awaited.get(row.id, ()), row.error or errors.get(row.id), told.get(row.id)
        )
        for row in rows
    ]


def _first_errors(session: Session, experiment_ids: Sequence[str]) -> dict[str, Failure]:
    """The error of each experiment's first failed execution, in the order in which they are claimed: an index has it."""
    first = (
        sa.select(Execution.error)
        .where(Execution.experiment_id == Experiment.id, Execution.state == State.FAILED)
        .order_by(Execution.place)
        .limit(1)
        .scalar_subquery()
    )
    query = sa.select(Experiment.id, first).where(Experiment.id.in_(experiment_ids))
    return {id: error for id, error in session.execute(query) if error} if experiment_ids else {}
