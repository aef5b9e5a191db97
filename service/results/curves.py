"""What the executions of an experiment measured after each epoch, all in one answer."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, Field, JsonValue

from noisegate.later import Later
from noisegate.spec.labels import label
from noisegate.store.states import State
from noisegate.store.tables import Experiment

pa: Any = Later("pyarrow")
pq: Any = Later("pyarrow.parquet")

_LOSSES = "null where it was not finite, empty where nothing was measured."


class CurveCell(BaseModel):
    """One cell: its number, and the swept values that make it what it is."""

    cell: int
    point: dict[str, JsonValue]
    label: str


class Curve(BaseModel):
    """What one execution measured after each epoch."""

    id: str
    cell: int
    execution: int = Field(description="Its number within the cell.")
    seed: int
    seed_text: str = Field(description="The same in digits: some readers of JSON round numbers above 2⁵³.")
    state: State
    losses: list[float | None] = Field(description=f"Mean loss of the training images in each epoch; {_LOSSES}")
    holdout_losses: list[float | None] = Field(
        description=f"Of a recipe that stops early: mean log loss on the holdout; {_LOSSES}"
    )


class Curves(BaseModel):
    """The curves of all executions of an experiment, also while it runs: of those that train, as far as they have come."""

    experiment: str
    cells: list[CurveCell]
    executions: list[Curve] = Field(description="All of them, by cell and number.")


def collect(experiment: Experiment, rows: Sequence[sa.Row[Any]]) -> Curves:
    """The rows of `store.executions.curves_of` as an answer."""
    cells = [
        CurveCell(cell=cell.position, point=cell.point, label="base" if cell.is_base else label(cell.point))
        for cell in experiment.cells
    ]
    return Curves(
        experiment=experiment.id,
        cells=cells,
        executions=[
            Curve.model_construct(
                id=row.id,
                cell=row.cell,
                execution=row.execution,
                seed=row.seed,
                seed_text=str(row.seed),
                state=row.state,
                losses=row.losses_by_epoch or [],
                holdout_losses=row.holdout_losses or [],
            )
            for row in rows
        ],
    )


def to_csv(curves: Curves) -> str:
    """A row an epoch; what is not known is an empty cell."""
    columns = _columns(curves)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def to_parquet(curves: Curves) -> bytes:
    """The same rows as one Parquet table."""
    written = io.BytesIO()
    numbers = dict.fromkeys(("loss", "holdout_loss"), pa.float64())
    columns = {name: pa.array(values, numbers.get(name)) for name, values in _columns(curves).items()}
    pq.write_table(pa.table(columns), written, compression="zstd")
    return written.getvalue()


def _columns(curves: Curves) -> dict[str, list[Any]]:
    cells = {cell.cell: cell for cell in curves.cells}
    paths = dict.fromkeys(path for cell in curves.cells for path in cell.point)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("cell", *paths, "execution", "seed", "state", "epoch", "loss", "holdout_loss")
    }
    for curve in curves.executions:
        length = max(len(curve.losses), len(curve.holdout_losses))
        point = cells[curve.cell].point
        known = {
            "cell": curve.cell,
            **{path: _plain(point.get(path)) for path in paths},
            "execution": curve.execution,
            "seed": curve.seed,
            "state": curve.state.value,
        }
        for name, value in known.items():
            columns[name] += [value] * length
        columns["epoch"] += range(1, length + 1)
        columns["loss"] += _filled(curve.losses, length)
        columns["holdout_loss"] += _filled(curve.holdout_losses, length)
    return columns


def _filled(values: Sequence[float | None], length: int) -> Iterator[float | None]:
    yield from values
    yield from [None] * (length - len(values))


def _plain(value: JsonValue) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
