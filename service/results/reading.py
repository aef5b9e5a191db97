"""The results of an experiment, read from its rows: for the table, its CSV and its figures."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate import tracing
from noisegate.selection import SelectionSummary
from noisegate.store import executions, experiments, models, publishing
from noisegate.store.tables import Cell, Execution, Experiment, Model
from service.results.schemas import Results
from service.results.tables import tabulate


def read_results(session: Session, experiment_id: str) -> Results:
    """The results as far as the experiment has got.

    Raises:
        NotFound: no such experiment.
    """
    experiment = experiments.get(session, experiment_id, cell_specs=True)
    tracing.link(experiment.traceparent)
    best = models.best_by_cell(session, experiment_id)
    key = (experiment_id, experiment.last_event)
    if (kept := _kept.get(key)) is not None:
        return _with_models(kept, experiment, best)
    found = executions.of_experiment(session, experiment_id, losses=False)
    told = publishing.published(session, [experiment_id]).get(experiment_id)
    base = _base(session, found)
    results = tabulate(experiment, found, best, base, told, _selections(session, experiment_id))
    if len(found) >= _WORTH_KEEPING:
        _keep(key, results)
    return results


# Tables of so many executions take a second. What stands in one changes with an event of its experiment, but for its models.
_WORTH_KEEPING, _MOST_KEPT = 500, 16
_kept: OrderedDict[tuple[str, int], Results] = OrderedDict()
_keeping = threading.Lock()


def _keep(key: tuple[str, int], results: Results) -> None:
    with _keeping:
        _kept[key] = results
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)


def _with_models(results: Results, experiment: Experiment, best: Mapping[str, Model]) -> Results:
    ids = {cell.position: best[cell.id].id for cell in experiment.cells if cell.id in best}
    rows = [row.model_copy(update={"best_model": ids.get(row.cell)}) for row in results.rows]
    return results.model_copy(update={"rows": rows})


def _selections(session: Session, experiment_id: str) -> dict[int, SelectionSummary]:
    """What the cells leave out, by their positions."""
    query = sa.select(Cell.position, Cell.selection).where(
        Cell.experiment_id == experiment_id, Cell.selection.is_not(None)
    )
    return {position: selection.summary for position, selection in session.execute(query) if selection is not None}


def _base(session: Session, found: Sequence[Execution]) -> Execution | None:
    base_id = next((execution.depends_on for execution in found if execution.depends_on), None)
    return session.get_one(Execution, base_id) if base_id else None
