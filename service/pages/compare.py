"""Compare: cells of any experiments in one table and one chart, in groups by any field of their specs."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from noisegate.store import executions, experiments
from service.pages.frame import FrameDep
from service.pages.words import value
from service.results.comparing import MEASURES, Compared, Comparison, compare, compared_cells
from service.results.reading import read_results
from service.results.statistics import Summary

MOST = 12
_OFFERED = 50
_MARGIN = 4.0

router = APIRouter(prefix="/ui/compare", include_in_schema=False)

Measure = Literal[
    "accuracy", "confidence", "spuriousness", "false_reject", "noise_per_10000", "holdout_accuracy", "train_seconds"
]
Ids = Annotated[list[str], Query(max_length=MOST, description="Experiments to compare.")]
Without = Annotated[list[str], Query(max_length=500, description="Cells to leave out, as EXPERIMENT:NUMBER.")]


@dataclass(frozen=True)
class Drawn:
    """Where a mean and its error lie in the drawing, in percent of its width."""

    mean: float
    low: float
    high: float


@router.get("")
def compare_page(
    frame: FrameDep,
    experiment: Ids = [],  # noqa: B006 - FastAPI copies it
    without: Without = [],  # noqa: B006
    group: Annotated[str | None, Query(max_length=200)] = None,
    measure: Measure = "accuracy",
) -> Response:
    """The page; without experiments it offers those there are."""
    with frame.sessions.reading() as session:
        offered = experiments.page(session, state=None, cursor=None, limit=_OFFERED).items
        cells = [cell for id in dict.fromkeys(experiment) for cell in _cells(session, id, measure)]
    left_out = set(without)
    comparison = compare([cell for cell in cells if _name(cell) not in left_out], group or None)
    factor = MEASURES[measure]
    return frame.page(
        "compare.html",
        offered=[(row.id, row.name or row.id) for row in offered],
        chosen=experiment,
        left_out=sorted(left_out & {_name(cell) for cell in cells}),
        comparison=comparison,
        drawn=_drawn(comparison),
        group=group,
        measure=measure,
        measures=list(MEASURES),
        factor=factor,
        unit="%" if factor == 100 else "",
        chart=_chart(comparison, factor),
        name=_name,
    )


def _cells(session: Session, experiment_id: str, measure: str) -> list[Compared]:
    row = experiments.get(session, experiment_id, cell_specs=True)
    found = executions.values(session, experiment_id, measure)
    return list(compared_cells(row, read_results(session, experiment_id), found))


def _name(cell: Compared) -> str:
    return f"{cell.experiment}:{cell.row.cell}"


def _drawn(comparison: Comparison) -> dict[str, Drawn]:
    """All cells on one scale, by their names."""
    found = {_name(cell): cell.summary for cell in comparison.cells if cell.summary}
    ends = [end for summary in found.values() for end in _ends(summary)]
    if not ends:
        return {}
    low, width = min(ends), (max(ends) - min(ends)) or 1.0

    def placed(value: float) -> float:
        return round(_MARGIN + (100 - 2 * _MARGIN) * (value - low) / width, 2)

    return {
        name: Drawn(placed(summary.mean), *(placed(end) for end in _ends(summary))) for name, summary in found.items()
    }


def _ends(summary: Summary) -> tuple[float, float]:
    error = summary.standard_error or 0.0
    return summary.mean - error, summary.mean + error


def _chart(comparison: Comparison, factor: float) -> dict[str, Any]:
    """One line an experiment over the groups, as the page's script draws it: at each group over all of its executions there."""
    lines: dict[str, dict[str, list[Any]]] = {}
    for place, found in enumerate(comparison.groups):
        for name, summary in found.by_experiment().items():
            low, high = _ends(summary)
            line = lines.setdefault(name, {"x": [], "y": [], "low": [], "high": []})
            for key, number in (("y", summary.mean), ("low", low), ("high", high)):
                line[key].append(number * factor)
            line["x"].append(place)
    labels = [value(found.value) for found in comparison.groups]
    return {"labels": labels, "lines": [{"label": label} | line for label, line in lines.items()]}
