"""From rows to a table, and from a table to CSV."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from noisegate.api.publication import Publication
from noisegate.presets import catalogue
from noisegate.store.tables import Execution, Experiment
from service.results.schemas import BaseExecutionRead, Excluded, ExperimentSummary, PresetRead, Results, Row
from service.results.statistics import Summary, choose_baseline, compare
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
    rows: Sequence[Row],
    best: Mapping[int, str],
    base: Execution | None,
    published: Publication | None,
    excluded: Mapping[int, Excluded],
    *,
    seed: int,
) -> Results:
    """The results table.

    Args:
        rows: of all cells but the base, as `cell_row` makes them.
        best: the id of the best model of each cell that has any, by the cell's position, like `excluded`.
        base: the execution that decided over the subgroups, of this experiment or an earlier one.
        published: what the experiment did to the alias `default`.
        seed: of the first cell.
    """
    baseline = choose_baseline([row.has_noise_class for row in rows])
    reference = rows[baseline].accuracy if baseline is not None else None
    return Results(
        experiment=ExperimentSummary.model_validate(experiment),
        kind=experiment.spec.kind,
        preset=preset_of(experiment),
        dataset=DatasetSummary.model_validate(experiment.dataset) if experiment.dataset else None,
        seed=seed,
        base=_base(base) if base else None,
        published=published,
        baseline_cell=baseline,
        rows=[
            row.model_copy(
                update={
                    "difference": None if row.cell == baseline else compare(row.accuracy, reference),
                    "best_model": best.get(row.cell),
                    "excluded": excluded.get(row.cell),
                }
            )
            for row in rows
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


def preset_of(experiment: Experiment) -> PresetRead | None:
    """The preset that it was posted from, if this version knows it."""
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
