"""The results of an experiment, read from its rows: for the table, its CSV and its figures."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate import tracing
from noisegate.selection import SelectionSummary
from noisegate.store import executions, experiments, models, publishing
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution, Experiment
from service.recent import Recent
from service.results.excluded import excluded_of
from service.results.rows import cell_row
from service.results.schemas import Results, Row
from service.results.tables import preset_of, tabulate


@dataclass(frozen=True)
class _Kept:
    """A table, and the row of each cell by itself: it is the same as long as no more executions have ended than it counts."""

    last_event: int
    results: Results
    rows: Mapping[int, Row]


# Tables of as many executions take a while. What stands in one changes with an event of its experiment, but for its models.
_WORTH_KEEPING = 500
_kept: Recent[str, _Kept] = Recent(16)


def read_results(session: Session, experiment_id: str) -> Results:
    """The results as far as the experiment has got.

    Raises:
        NotFound: no such experiment.
    """
    experiment = experiments.get(session, experiment_id)
    tracing.link(experiment.traceparent)
    positions = {cell.id: cell.position for cell in experiment.cells}
    best = {positions[id]: model.id for id, model in models.best_by_cell(session, experiment_id).items()}
    kept = _kept.get(experiment_id)
    if kept is not None and kept.last_event == experiment.last_event:
        as_kept = kept.results.rows
        return kept.results.model_copy(
            update={"rows": [row.model_copy(update={"best_model": best.get(row.cell)}) for row in as_kept]}
        )
    counts = executions.counts_by_cell(session, experiment_id)
    rows = {cell: row for cell, row in (kept.rows if kept else {}).items() if _is_as_before(row, counts[cell])}
    stale = [cell.position for cell in experiment.cells if not cell.is_base and cell.position not in rows]
    selections = _selections(session, experiment_id)
    planned = _planned(session, experiment_id, {0, *stale, *selections})
    rows |= _made(session, experiment, [planned[cell] for cell in stale], counts)
    told = publishing.published(session, [experiment_id]).get(experiment_id)
    results = tabulate(
        experiment,
        [rows[cell] for cell in sorted(rows)],
        best,
        _base(session, experiment_id),
        told,
        excluded_of(selections, {cell: planned[cell].spec for cell in selections}, rows),
        seed=planned[0].spec.seed,
    )
    if sum(row.executions for row in results.rows) >= _WORTH_KEEPING:
        _kept.keep(experiment_id, _Kept(experiment.last_event, results, rows))
    return results


def _is_as_before(row: Row, counts: Mapping[State, int]) -> bool:
    return (row.n, row.failed) == (counts.get(State.SUCCEEDED, 0), counts.get(State.FAILED, 0))


def _made(
    session: Session,
    experiment: Experiment,
    cells: Sequence[sa.Row[Any]],
    counts: Mapping[int, Mapping[State, int]],
) -> dict[int, Row]:
    """The rows of these cells, from their executions."""
    preset, cells_by_position = preset_of(experiment), {cell.position: cell for cell in cells}
    found = executions.outcomes(session, experiment.id, cells_by_position) if cells else ()
    # Cell by cell: what all executions have said is never in memory at once.
    rows = {
        cell: cell_row(cells_by_position[cell], counts[cell], list(own), preset)
        for cell, own in groupby(found, attrgetter("cell"))
    }
    without = {
        cell: cell_row(row, counts[cell], (), preset) for cell, row in cells_by_position.items() if cell not in rows
    }
    return rows | without


def _planned(session: Session, experiment_id: str, positions: Collection[int]) -> dict[int, sa.Row[Any]]:
    """Position, point and spec of some of the cells, by position."""
    query = sa.select(Cell.position, Cell.point, Cell.spec).where(Cell.experiment_id == experiment_id)
    return {cell.position: cell for cell in session.execute(query.where(Cell.position.in_(positions)))}


def _selections(session: Session, experiment_id: str) -> dict[int, SelectionSummary]:
    """What the cells leave out, by their positions."""
    query = sa.select(Cell.position, Cell.selection).where(
        Cell.experiment_id == experiment_id, Cell.selection.is_not(None)
    )
    return {position: selection.summary for position, selection in session.execute(query) if selection is not None}


def _base(session: Session, experiment_id: str) -> Execution | None:
    depends_on = sa.and_(Execution.experiment_id == experiment_id, Execution.depends_on.is_not(None))
    base_id = session.scalar(sa.select(Execution.depends_on).where(depends_on).limit(1))
    return session.get_one(Execution, base_id) if base_id else None
