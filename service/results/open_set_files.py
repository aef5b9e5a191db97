"""Open-set results as files: the table as CSV or Parquet, and the scores of every test image."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from noisegate.later import Later
from service.results.open_set import METRICS, OpenSetResults, OpenSetRow
from service.results.statistics import Summary

pa: Any = Later("pyarrow")
pq: Any = Later("pyarrow.parquet")


def to_csv(results: OpenSetResults) -> str:
    """The rows of cells, and after them those over splits, for a spreadsheet; what is not known is an empty cell."""
    records = list(_records(results))
    text = io.StringIO()
    columns = dict.fromkeys(column for record in records for column in record)
    writer = csv.DictWriter(text, fieldnames=list(columns))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def to_parquet(results: OpenSetResults) -> bytes:
    """The same rows as one Parquet table."""
    records = list(_records(results))
    columns = dict.fromkeys(column for record in records for column in record)
    written = io.BytesIO()
    pq.write_table(pa.table({name: [record.get(name) for record in records] for name in columns}), written)
    return written.getvalue()


def write_samples(file: IO[bytes], parts: Sequence[tuple[int, int, Path]]) -> None:
    """One Parquet file of the scores of each test image, execution after execution, no more than one of them in memory.

    Args:
        parts: cell, number of the execution and its file; one at least.
    """
    schema = pa.unify_schemas([pq.read_schema(part) for _, _, part in parts], promote_options="permissive")
    numbers = [pa.field("cell", pa.int32()), pa.field("execution", pa.int32())]
    schema = pa.schema([*numbers, *schema]).remove_metadata()
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for cell, execution, part in parts:
            table = pq.read_table(part)
            own = {"cell": [cell] * len(table), "execution": [execution] * len(table)}
            columns = [
                pa.array(own[field.name], field.type)
                if field.name in own
                else table.column(field.name).cast(field.type)
                if field.name in table.column_names
                else pa.nulls(len(table), field.type)
                for field in schema
            ]
            writer.write_table(pa.table(columns, schema=schema))


def _records(results: OpenSetResults) -> Iterator[dict[str, object]]:
    yield from (dict(_record(row)) for row in [*results.rows, *results.over_splits])


def _record(row: OpenSetRow) -> Iterator[tuple[str, object]]:
    yield "cell", row.cell
    yield from (
        (path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for path, value in row.point.items()
    )
    for name in ("splits", "n", "unknown", "distance", "images", "score"):
        yield name, getattr(row, name)
    for name in METRICS:
        summary: Summary | None = getattr(row, name)
        yield name, summary.mean if summary else None
        yield f"{name}_standard_error", summary.standard_error if summary else None
    if row.difference:
        yield "auroc_difference", row.difference.mean
        yield "auroc_difference_p_value", row.difference.p_value
