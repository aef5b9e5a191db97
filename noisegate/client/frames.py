"""Answers as pandas DataFrames: `pip install noisegate[pandas]`."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from noisegate.api.base import Answer
from noisegate.api.decisions import BatchLineAnswer, MinimalLineAnswer
from noisegate.api.result_answers import CurvesAnswer, Estimate, ResultRow, ResultsAnswer

# Of each the mean, and beside it what is known of its spread.
MEASURES = (
    "accuracy",
    "confidence",
    "spuriousness",
    "true_class_probability",
    "noise_per_10000",
    "holdout_accuracy",
    "false_reject",
    "train_seconds",
)


def frame_of(items: Iterable[Answer]) -> pd.DataFrame:
    """A row an item; what is nested has a column for each of its fields, such as `metrics.accuracy` and `point.noise.quantity`."""
    return pd.DataFrame([dict(_flat(item.document())) for item in items])


def batch_frame(lines: Iterable[BatchLineAnswer | MinimalLineAnswer]) -> pd.DataFrame:
    """A row an image."""
    rows = [
        {"name": line.name, "problem": line.problem.detail if line.problem else None, **_decided(line)}
        for line in lines
    ]
    return pd.DataFrame(rows)


def _decided(line: BatchLineAnswer | MinimalLineAnswer) -> dict[str, Any]:
    return dict(_flat(line.classification.document())) if line.classification else {}


def results_frame(results: ResultsAnswer) -> pd.DataFrame:
    """A row a cell; shares lie in 0 … 1."""
    names = dict.fromkeys(name for row in results.rows for name in row.measures)
    return pd.DataFrame([dict(_of_row(row, [*names])) for row in results.rows])


def curves_frame(curves: CurvesAnswer) -> pd.DataFrame:
    """A row an epoch of an execution, in their order; an execution that has trained none has no row."""
    lengths = [max(len(one.losses), len(one.holdout_losses)) for one in curves.executions]
    cells = {cell.cell: cell for cell in curves.cells}
    of_executions = {
        "cell": [one.cell for one in curves.executions],
        "label": [cells[one.cell].label for one in curves.executions],
        **_points(curves, cells),
        "execution": [one.execution for one in curves.executions],
        "seed": [one.seed for one in curves.executions],
        "state": [one.state for one in curves.executions],
    }
    frame = pd.DataFrame(of_executions)
    frame = frame.loc[frame.index.repeat(lengths)].reset_index(drop=True)
    frame["epoch"] = [epoch for length in lengths for epoch in range(1, length + 1)]
    frame["loss"] = _numbers([one.losses for one in curves.executions], lengths)
    frame["holdout_loss"] = _numbers([one.holdout_losses for one in curves.executions], lengths)
    return frame


def _points(curves: CurvesAnswer, cells: Mapping[int, Any]) -> dict[str, list[Any]]:
    paths = dict.fromkeys(path for cell in curves.cells for path in cell.point)
    return {path: [plain(cells[one.cell].point.get(path)) for one in curves.executions] for path in paths}


def _numbers(series: Iterable[Sequence[float | None]], lengths: Iterable[int]) -> pd.Series:
    filled = ([*values, *[None] * (length - len(values))] for values, length in zip(series, lengths, strict=True))
    return pd.Series([value for values in filled for value in values], dtype="float64")


def _of_row(row: ResultRow, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    yield "cell", row.cell
    yield "label", row.label
    yield from ((path, plain(value)) for path, value in row.point.items())
    yield "executions", row.executions
    yield "n", row.n
    yield "failed", row.failed
    for name in MEASURES:
        yield from _of_measure(name, getattr(row, name))
    for name in names:
        yield from _of_measure(name, row.measures.get(name))
    if row.published is not None:
        yield "published_accuracy", _or_nan(row.published.accuracy)
        yield "published_accuracy_std", _or_nan(row.published.accuracy_std)
    yield "best_model", row.best_model


def _of_measure(name: str, estimate: Estimate | None) -> Iterator[tuple[str, float]]:
    """NaN where nothing is known: a column of numbers stays one, and a plot leaves the point out."""
    yield name, _or_nan(estimate.mean if estimate else None)
    yield f"{name}_std", _or_nan(estimate.std if estimate else None)
    yield f"{name}_standard_error", _or_nan(estimate.standard_error if estimate else None)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def plain(value: Any) -> Any:
    """A swept value as a cell of a table: what is no number or text is its JSON."""
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
