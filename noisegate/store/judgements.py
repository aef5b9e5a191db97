"""Which executions have learnt, read from their rows: by cell, so that each is seen beside the others that have succeeded."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.orm import Session

from noisegate.judgement import Finding, Judgement, findings_in_cell
from noisegate.manifest import CalibrationSource
from noisegate.store.states import State
from noisegate.store.tables import Execution


@dataclass(frozen=True)
class Judged:
    """An execution that has succeeded; `judgement` is None if it was never judged, and nothing is found then."""

    execution_id: str
    position: int
    judgement: Judgement | None
    findings: list[Finding]

    @property
    def chosen_against(self) -> bool:
        """Whether its model is not to be chosen; never by the test set, which chooses nothing."""
        return self.judgement is not None and self.judgement.measured_on != "test" and bool(self.findings)

    @property
    def source(self) -> CalibrationSource:
        """What its accuracy on held-out images was measured by."""
        cross_validated = self.judgement is not None and self.judgement.measured_on == "cross_validated"
        return "cross_validated" if cross_validated else "holdout"


def column() -> sa.ColumnElement[Any]:
    """An execution's judgement alone, as JSON, out of details that may hold figures too; to be given to `parsed`."""
    return sa.type_coerce(Execution.details, sa.JSON)["judgement"]


def parsed(document: Any) -> Judgement | None:
    """What `column` gave; None of an execution that was never judged, or by a newer version that only can tell what it means."""
    try:
        return Judgement.model_validate(document) if document else None
    except ValidationError:
        return None


def findings_of(session: Session, cell_id: str, execution_id: str) -> list[Finding]:
    """What is found against one execution, seen beside the others of its cell."""
    judged = by_cell(session, Execution.cell_id == cell_id).get(cell_id, [])
    return next((one.findings for one in judged if one.execution_id == execution_id), [])


def by_cell(session: Session, *which: sa.ColumnElement[bool]) -> dict[str, list[Judged]]:
    """Those executions that have succeeded, by the id of their cell and in the order of their numbers.

    Args:
        which: conditions on executions that take or leave whole cells, as each is judged beside the others.
    """
    query = sa.select(Execution.cell_id, Execution.id, Execution.position, column())
    query = query.where(Execution.state == State.SUCCEEDED, *which).order_by(Execution.position)
    rows: dict[str, list[tuple[str, int, Judgement | None]]] = defaultdict(list)
    for cell_id, id, position, document in session.execute(query):
        rows[cell_id].append((id, position, parsed(document)))
    return {
        cell_id: [
            Judged(*row, findings)
            for row, findings in zip(found, findings_in_cell([judgement for _, _, judgement in found]), strict=True)
        ]
        for cell_id, found in rows.items()
    }
