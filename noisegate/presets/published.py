"""What the paper, or its authors' spreadsheet, prints: one row for one cell of a preset, read from CSV.

The columns of such a file are paths of the spec (`noise.family`, `subgroup.fraction`; an empty field means null), then
`accuracy_pct` and the other measures as printed, in percent. A row belongs to the cells whose spec holds its values at all
of its paths. Each file names paths of both `noise` and `subgroup`, so that neither can differ unseen.
"""

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import Field, JsonValue

from noisegate.documents import Document
from noisegate.spec import ExperimentSpec
from noisegate.spec.sweeps import value_at

# Field of PublishedValues: column, and what a value is divided by.
_MEASURES = {
    "accuracy": ("accuracy_pct", 100),
    "accuracy_std": ("accuracy_std_pct", 100),
    "confidence": ("confidence_pct", 100),
    "spuriousness": ("spuriousness_pct", 100),
    "true_class_probability": ("ground_truth_probability_pct", 100),
    "noise_per_10000": ("noise_count", 1),
}
_NOT_PATHS = {column for column, _ in _MEASURES.values()} | {"n", "note"}


class PublishedValues(Document):
    """Table 1's measures as printed, shares in 0 … 1; null where nothing is printed."""

    accuracy: float | None
    accuracy_std: float | None = Field(description="Over executions (n − 1).")
    confidence: float | None
    spuriousness: float | None
    true_class_probability: float | None
    noise_per_10000: float | None
    n: int | None = Field(description="Executions behind it.")
    note: str | None = Field(description="What to know about the printed value, such as a likely misprint.")


class PublishedRow(Document):
    """The values, and the cell they belong to: what its spec holds at each path."""

    cell: dict[str, JsonValue]
    values: PublishedValues


def read_rows(lines: Sequence[str]) -> list[PublishedRow]:
    """The rows of a CSV file, its heading first."""
    return [_row(record) for record in csv.DictReader(lines)]


def values_for(rows: Sequence[PublishedRow], spec: ExperimentSpec) -> PublishedValues | None:
    """The values of the row that the cell's spec belongs to; None if there is none."""
    document = _comparable(spec)
    if document is None:
        return None
    return next((row.values for row in rows if _belongs(document, row)), None)


def _belongs(document: Mapping[str, Any], row: PublishedRow) -> bool:
    return all(value_at(document, path) == value for path, value in row.cell.items())


def _comparable(spec: ExperimentSpec) -> dict[str, Any] | None:
    # Noise of quantity 0 is no noise, a list of one is that one; the paper never fills the class with several.
    document = spec.model_dump(mode="json")
    if "noise" not in document:
        return None
    noise = document["noise"]
    several = noise if isinstance(noise, list) else [noise] if noise else []
    present = [one for one in several if one["quantity"] > 0]
    return document | {"noise": present[0] if present else None} if len(present) <= 1 else None


def _row(record: Mapping[str, str]) -> PublishedRow:
    # As YAML an empty field is null, 0.5 a number and [3, 5] a list.
    cell = {path: yaml.safe_load(text) for path, text in record.items() if path not in _NOT_PATHS}
    measures = {field: _scaled(record[column], unit) for field, (column, unit) in _MEASURES.items()}
    values = PublishedValues(**measures, n=int(record["n"]), note=record["note"] or None)
    return PublishedRow(cell=cell, values=values)


def _scaled(text: str, unit: int) -> float | None:
    # Ten digits: 74.67 % should be 0.7467 and not 0.7467000000000001.
    return float(f"{float(text) / unit:.10g}") if text else None
