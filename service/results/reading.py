"""The results of an experiment, read from its rows: for the table, its CSV and its figures."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate import tracing
from noisegate.selection import SelectionSummary
from noisegate.store import executions, experiments, models, publishing
from noisegate.store.tables import Cell, Execution
from service.results.schemas import Results
from service.results.tables import tabulate


def read_results(session: Session, experiment_id: str) -> Results:
    """The results as far as the experiment has got.

    Raises:
        NotFound: no such experiment.
    """
    experiment = experiments.get(session, experiment_id, cell_specs=True)
    tracing.link(experiment.traceparent)
    found = executions.of_experiment(session, experiment_id, losses=False)
    best, base = models.best_by_cell(session, experiment_id), _base(session, found)
    told = publishing.published(session, [experiment_id]).get(experiment_id)
    return tabulate(experiment, found, best, base, told, _selections(session, experiment_id))


def _selections(session: Session, experiment_id: str) -> dict[int, SelectionSummary]:
    """What the cells leave out, by their positions."""
    query = sa.select(Cell.position, Cell.selection).where(
        Cell.experiment_id == experiment_id, Cell.selection.is_not(None)
    )
    return {position: selection.summary for position, selection in session.execute(query) if selection is not None}


def _base(session: Session, found: Sequence[Execution]) -> Execution | None:
    base_id = next((execution.depends_on for execution in found if execution.depends_on), None)
    return session.get_one(Execution, base_id) if base_id else None
