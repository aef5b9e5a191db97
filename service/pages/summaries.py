"""What lists say of an experiment in a few numbers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.spec.labels import label
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution, Experiment
from service.results.statistics import Summary, summarise


@dataclass(frozen=True)
class Best:
    """The cell with the highest mean accuracy on the test set; to be read and not to be chosen by."""

    cell: int
    label: str
    accuracy: Summary


def best_cells(session: Session, rows: Sequence[Experiment]) -> dict[str, Best]:
    """Of each of these experiments, by its id; none of those that measure no accuracy. One statement for all of them."""
    accuracy = sa.type_coerce(Execution.metrics, sa.JSON)["accuracy"].as_float()
    query = sa.select(Execution.experiment_id, Cell.position, accuracy).join(Execution.cell)
    query = query.where(Execution.experiment_id.in_([row.id for row in rows]), Execution.state == State.SUCCEEDED)
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for experiment, position, value in session.execute(query) if rows else ():
        if value is not None:
            found[experiment, position].append(value)
    best: dict[str, Best] = {}
    for row in rows:
        for cell in row.cells:
            summary = summarise(found.get((row.id, cell.position), []))
            known = best.get(row.id)
            if summary and not cell.is_base and (known is None or summary.mean > known.accuracy.mean):
                best[row.id] = Best(cell.position, label(cell.point), summary)
    return best
