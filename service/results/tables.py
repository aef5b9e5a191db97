"""From executions to rows, and from rows to CSV."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from noisegate.manifest import Metrics
from noisegate.spec import ExperimentSpec
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution, Experiment, Model
from service.results.schemas import ExperimentSummary, Results, Row
from service.results.statistics import Summary, choose_baseline, compare, summarise
from service.schemas import DatasetSummary

# CSV column (without its unit's suffix): row field, factor, suffix.
_MEASURES: dict[str, tuple[str, float, str]] = {
    "confidence": ("confidence", 100, "_pct"),
    "spuriousness": ("spuriousness", 100, "_pct"),
    "ground_truth_probability": ("true_class_probability", 100, "_pct"),
    "noise_count": ("noise_per_10000", 1, ""),
}


def tabulate(experiment: Experiment, executions: Sequence[Execution], best: Mapping[str, Model]) -> Results:
    """The results table. `best` holds the best model of each cell that has any, by the cell's id."""
    by_cell: dict[str, list[Execution]] = {cell.id: [] for cell in experiment.cells}
    for execution in executions:
        by_cell[execution.cell_id].append(execution)
    cells = [(cell, by_cell[cell.id]) for cell in experiment.cells]
    baseline = choose_baseline([_has_noise_class(cell) for cell in experiment.cells])
    reference = _accuracies(cells[baseline][1]) if baseline is not None else []
    return Results(
        experiment=ExperimentSummary.model_validate(experiment),
        dataset=DatasetSummary.model_validate(experiment.dataset),
        baseline_cell=baseline,
        rows=[
            _row(cell, found, [] if cell.position == baseline else reference, best.get(cell.id))
            for cell, found in cells
        ],
    )


def label(point: Mapping[str, JsonValue]) -> str:
    """The swept values in words."""
    return ", ".join(f"{path}={_plain(value)}" for path, value in point.items()) or "all"


def to_csv(results: Results) -> str:
    """The table for a spreadsheet; what is not known is an empty cell."""
    paths = list(results.rows[0].point)
    records = [dict(_record(row, paths)) for row in results.rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _row(cell: Cell, executions: Sequence[Execution], baseline: Sequence[float], best: Model | None) -> Row:
    succeeded = _succeeded(executions)
    metrics = _metrics(executions)
    return Row(
        cell=cell.position,
        point=cell.point,
        label=label(cell.point),
        has_noise_class=_has_noise_class(cell),
        executions=len(executions),
        n=len(succeeded),
        failed=sum(execution.state is State.FAILED for execution in executions),
        accuracy=summarise([m.accuracy for m in metrics]),
        confidence=_summarise_known([m.confidence for m in metrics]),
        spuriousness=_summarise_known([m.spuriousness for m in metrics]),
        true_class_probability=_summarise_known([m.true_class_probability for m in metrics]),
        noise_per_10000=summarise([m.noise_per_10000 for m in metrics]),
        holdout_accuracy=_summarise_known([execution.holdout_accuracy for execution in succeeded]),
        false_reject=_summarise_known([m.false_reject for m in metrics]),
        train_seconds=_summarise_known([execution.train_seconds for execution in succeeded]),
        difference=compare([m.accuracy for m in metrics], baseline),
        best_model=best.id if best else None,
    )


def _succeeded(executions: Sequence[Execution]) -> list[Execution]:
    return [execution for execution in executions if execution.state is State.SUCCEEDED]


def _metrics(executions: Sequence[Execution]) -> list[Metrics]:
    return [Metrics.model_validate(execution.metrics) for execution in _succeeded(executions)]


def _accuracies(executions: Sequence[Execution]) -> list[float]:
    return [metrics.accuracy for metrics in _metrics(executions)]


def _summarise_known(values: Sequence[float | None]) -> Summary | None:
    return summarise([value for value in values if value is not None])


def _has_noise_class(cell: Cell) -> bool:
    return ExperimentSpec.model_validate(cell.spec).has_noise_class


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _record(row: Row, paths: Sequence[str]) -> Iterator[tuple[str, object]]:
    yield "cell", row.cell
    yield from ((path, _plain(row.point[path])) for path in paths)
    yield "n", row.n
    accuracy = row.accuracy
    yield "accuracy_pct", _scaled(accuracy.mean if accuracy else None, 100)
    yield "accuracy_std_pct", _scaled(accuracy.std if accuracy else None, 100)
    yield "accuracy_standard_error_pct", _scaled(accuracy.standard_error if accuracy else None, 100)
    for column, (field, factor, suffix) in _MEASURES.items():
        summary: Summary | None = getattr(row, field)
        yield f"{column}{suffix}", _scaled(summary.mean if summary else None, factor)
        yield f"{column}_standard_error{suffix}", _scaled(summary.standard_error if summary else None, factor)
    yield "difference_pct", _scaled(row.difference.accuracy if row.difference else None, 100)
    yield "p_value", row.difference.p_value if row.difference else None
    yield "best_model", row.best_model


def _scaled(value: float | None, factor: float) -> float | None:
    # Ten digits: a percentage should read 42.1 and not 42.099999999999994.
    return None if value is None else float(f"{value * factor:.10g}")
