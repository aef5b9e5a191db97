"""From executions to rows, and from rows to CSV."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from pydantic import JsonValue

from noisegate.api.publication import Publication
from noisegate.details import Details
from noisegate.judgement import findings_in_cell
from noisegate.manifest import Metrics
from noisegate.presets import catalogue
from noisegate.selection import SelectionSummary
from noisegate.spec.labels import label
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution, Experiment, Model
from service.results.excluded import excluded_of
from service.results.schemas import (
    BaseExecutionRead,
    ConcernedExecution,
    Excluded,
    ExperimentSummary,
    PresetRead,
    Provenance,
    Results,
    Row,
)
from service.results.statistics import Summary, choose_baseline, compare, summarise
from service.schemas import DatasetSummary

# CSV column (without its unit's suffix): row field, factor, suffix.
_MEASURES: dict[str, tuple[str, float, str]] = {
    "confidence": ("confidence", 100, "_pct"),
    "spuriousness": ("spuriousness", 100, "_pct"),
    "true_class_probability": ("true_class_probability", 100, "_pct"),
    "noise_per_10000": ("noise_per_10000", 1, ""),
}
# Names that columns had before, for tables that read them; at the end of a record.
_OLD_NAMES: dict[str, tuple[str, float, str]] = {
    "ground_truth_probability": ("true_class_probability", 100, "_pct"),
    "noise_count": ("noise_per_10000", 1, ""),
}


def tabulate(
    experiment: Experiment,
    executions: Sequence[Execution],
    best: Mapping[str, Model],
    base: Execution | None,
    published: Publication | None,
    selections: Mapping[int, SelectionSummary] = MappingProxyType({}),
) -> Results:
    """The results table.

    Args:
        best: the best model of each cell that has any, by the cell's id.
        base: the execution that decided over the subgroups, of this experiment or an earlier one.
        published: what the experiment did to the alias `default`.
        selections: the training images that cells leave out, by the cells' positions.
    """
    by_cell: dict[str, list[Execution]] = {cell.id: [] for cell in experiment.cells}
    for execution in executions:
        by_cell[execution.cell_id].append(execution)
    cells = [(cell, by_cell[cell.id]) for cell in experiment.cells if not cell.is_base]
    baseline = choose_baseline([cell.spec.has_noise_class for cell, _ in cells])
    reference = _accuracies(cells[baseline][1]) if baseline is not None else []
    preset = _preset(experiment)
    excluded = excluded_of({cell.position: (cell, found) for cell, found in cells}, selections)
    return Results(
        experiment=ExperimentSummary.model_validate(experiment),
        kind=cells[0][0].spec.kind,
        preset=preset,
        dataset=DatasetSummary.model_validate(experiment.dataset) if experiment.dataset else None,
        seed=cells[0][0].spec.seed,
        base=_base(base) if base else None,
        published=published,
        baseline_cell=baseline,
        rows=[
            _row(cell, found, [] if cell.position == baseline else reference, preset, best.get(cell.id), excluded)
            for cell, found in cells
        ],
    )


def to_csv(results: Results) -> str:
    """The table for a spreadsheet; what is not known is an empty cell."""
    paths = list(results.rows[0].point)
    records = [dict(_record(row, paths)) for row in results.rows]
    text = io.StringIO()
    # Cells without a result, and those without a published value, have fewer columns than the others.
    columns = dict.fromkeys(column for record in records for column in record)
    writer = csv.DictWriter(text, fieldnames=list(columns))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _row(
    cell: Cell,
    executions: Sequence[Execution],
    baseline: Sequence[float],
    preset: PresetRead | None,
    best: Model | None,
    excluded: Mapping[int, Excluded],
) -> Row:
    succeeded = _succeeded(executions)
    metrics = _metrics(executions)
    details = [execution.details for execution in succeeded if execution.details]
    judgements = [execution.details.judgement if execution.details else None for execution in succeeded]
    return Row(
        cell=cell.position,
        point=cell.point,
        label=label(cell.point),
        seeds=[execution.seed for execution in succeeded],
        has_noise_class=cell.spec.has_noise_class,
        executions=len(executions),
        n=len(succeeded),
        failed=sum(execution.state is State.FAILED for execution in executions),
        judged=sum(judgement is not None for judgement in judgements),
        not_learnt=[
            ConcernedExecution(execution=execution.position, findings=findings)
            for execution, findings in zip(succeeded, findings_in_cell(judgements), strict=True)
            if findings
        ],
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
        measures=_measures(details),
        subgroup=next((found.subgroup for found in details), None),
        excluded=excluded.get(cell.position),
        regularisation=next((found.regularisation for found in details if found.regularisation), None),
        published=catalogue.published_for(preset.name, cell.spec) if preset else None,
        provenance=_provenance(succeeded),
    )


def _measures(details: Sequence[Details]) -> dict[str, Summary]:
    names = dict.fromkeys(name for found in details for name in found.measures)
    summaries = {name: _summarise_known([found.measures.get(name) for found in details]) for name in names}
    return {name: summary for name, summary in summaries.items() if summary is not None}


def _provenance(executions: Sequence[Execution]) -> Provenance:
    versions = {json.dumps(found.versions, sort_keys=True): found.versions for found in executions if found.versions}
    return Provenance(
        precisions=sorted({found.precision for found in executions if found.precision}),
        devices=sorted({found.device for found in executions if found.device}),
        versions=list(versions.values()),
        images_per_second=_summarise_known([found.images_per_second for found in executions]),
    )


def _preset(experiment: Experiment) -> PresetRead | None:
    # A later version may know a preset no longer: what was measured is answered all the same.
    if experiment.preset not in catalogue.names() or experiment.scale is None:
        return None
    known = catalogue.get(experiment.preset)
    return PresetRead(name=known.name, scale=experiment.scale, source=known.source, published_note=known.published_note)


def _base(base: Execution) -> BaseExecutionRead:
    return BaseExecutionRead(
        experiment=base.experiment_id,
        cell=base.cell.position,
        execution=base.position,
        state=base.state,
        scored=base.details.scored if base.details else None,
    )


def _succeeded(executions: Sequence[Execution]) -> list[Execution]:
    return [execution for execution in executions if execution.state is State.SUCCEEDED]


def _metrics(executions: Sequence[Execution]) -> list[Metrics]:
    return [execution.metrics for execution in _succeeded(executions) if execution.metrics]


def _accuracies(executions: Sequence[Execution]) -> list[float]:
    return [metrics.accuracy for metrics in _metrics(executions)]


def _summarise_known(values: Sequence[float | None]) -> Summary | None:
    return summarise([value for value in values if value is not None])


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _record(row: Row, paths: Sequence[str]) -> Iterator[tuple[str, object]]:
    yield "cell", row.cell
    yield from ((path, _plain(row.point[path])) for path in paths)
    yield "n", row.n
    yield "failed", row.failed
    accuracy = row.accuracy
    yield "accuracy_pct", _scaled(_mean(accuracy), 100)
    yield "accuracy_std_pct", _scaled(accuracy.std if accuracy else None, 100)
    yield "accuracy_standard_error_pct", _scaled(accuracy.standard_error if accuracy else None, 100)
    yield from _columns(row, _MEASURES)
    yield "difference_pct", _scaled(row.difference.accuracy if row.difference else None, 100)
    yield "p_value", row.difference.p_value if row.difference else None
    for name, summary in row.measures.items():
        yield name, summary.mean
        yield f"{name}_standard_error", summary.standard_error
    if row.subgroup:
        yield "subgroup_size", row.subgroup.size
        yield "subgroup_duplicates", row.subgroup.duplicates  # the old name of the next
        yield "subgroup_repeated_draws", row.subgroup.duplicates
    if row.excluded:
        yield "excluded", row.excluded.count
        for one in row.excluded.against:
            yield f"against_{one.control}_pct", _scaled(one.difference.accuracy if one.difference else None, 100)
            yield f"against_{one.control}_p_value", one.difference.p_value if one.difference else None
    if row.regularisation:
        yield "weight_decay", row.regularisation.weight_decay
    if row.published:
        yield "published_accuracy_pct", _scaled(row.published.accuracy, 100)
        yield "published_accuracy_std_pct", _scaled(row.published.accuracy_std, 100)
        yield "published_n", row.published.n
    yield "not_learnt", len(row.not_learnt) if row.judged else None
    yield "not_learnt_why", "; ".join(_reasons(row)) or None
    yield "best_model", row.best_model
    yield from _columns(row, _OLD_NAMES)


def _columns(row: Row, columns: Mapping[str, tuple[str, float, str]]) -> Iterator[tuple[str, float | None]]:
    for column, (field, factor, suffix) in columns.items():
        summary: Summary | None = getattr(row, field)
        yield f"{column}{suffix}", _scaled(_mean(summary), factor)
        yield f"{column}_standard_error{suffix}", _scaled(summary.standard_error if summary else None, factor)


def _reasons(row: Row) -> Iterator[str]:
    for one in row.not_learnt:
        for finding in one.findings:
            yield f"execution {one.execution}: {finding.detail}. {finding.remedy}"


def _mean(summary: Summary | None) -> float | None:
    return summary.mean if summary else None


def _scaled(value: float | None, factor: float) -> float | None:
    # Ten digits: a percentage should read 42.1 and not 42.099999999999994.
    return None if value is None else float(f"{value * factor:.10g}")
