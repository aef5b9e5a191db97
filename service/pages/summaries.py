"""What lists say of an experiment in a few numbers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.spec.labels import label
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution
from service.experiments.schemas import ExperimentRead
from service.recent import Recent
from service.results.statistics import Summary, summarise


@dataclass(frozen=True)
class Best:
    """The cell with the highest mean accuracy on the test set; to be read and not to be chosen by."""

    cell: int
    label: str
    accuracy: Summary


# By the experiment's id and how many of its executions have succeeded, with which alone it changes; empty where there is none.
_known: Recent[tuple[str, int], tuple[Best, ...]] = Recent(10_000)


def best_cells(session: Session, rows: Sequence[ExperimentRead]) -> dict[str, Best]:
    """Of each of these experiments, by its id; none of those that measure no accuracy."""
    keys = {row.id: (row.id, row.counts.succeeded) for row in rows if row.counts.succeeded}
    found = {id: _known.get(key) for id, key in keys.items()}
    if unknown := [id for id, best in found.items() if best is None]:
        fresh = _best_cells(session, unknown)
        for id in unknown:
            best = (fresh[id],) if id in fresh else ()
            found[id] = best
            _known.keep(keys[id], best)
    return {id: best[0] for id, best in found.items() if best}


def _best_cells(session: Session, ids: Sequence[str]) -> dict[str, Best]:
    """The same, from the rows: two statements for all of them."""
    highest = _highest(session, ids)
    values: dict[str, list[float]] = defaultdict(list)
    query = sa.select(Execution.experiment_id, _ACCURACY).where(
        Execution.cell_id.in_([cell_id for cell_id, _, _ in highest.values()]), Execution.state == State.SUCCEEDED
    )
    for id, value in session.execute(query):
        if value is not None:
            values[id].append(value)
    return {
        id: Best(position, label(point), summary)
        for id, (_, position, point) in highest.items()
        if (summary := summarise(values[id]))
    }


_ACCURACY = sa.type_coerce(Execution.metrics, sa.JSON)["accuracy"].as_float()


def _highest(session: Session, ids: Sequence[str]) -> dict[str, tuple[str, int, dict[str, Any]]]:
    """Id, position and point of the cell with the highest mean: the database computes it, however many executions there are."""
    mean = sa.func.avg(_ACCURACY)
    query = sa.select(Execution.experiment_id, Execution.cell_id, mean.label("mean"))
    query = query.where(Execution.experiment_id.in_(ids), Execution.state == State.SUCCEEDED)
    means = query.group_by(Execution.experiment_id, Execution.cell_id).having(mean.is_not(None)).subquery()
    columns = (means.c.experiment_id, Cell.id, Cell.position, Cell.point)
    found = sa.select(*columns).join(Cell, Cell.id == means.c.cell_id).where(Cell.is_base.is_(False))
    # Of equal ones the first.
    ordered = found.order_by(means.c.mean.desc(), Cell.position)
    best: dict[str, tuple[str, int, dict[str, Any]]] = {}
    for id, *cell in session.execute(ordered):
        best.setdefault(id, tuple(cell))
    return best
