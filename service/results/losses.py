"""Training losses by epoch: the mean over a cell's executions, with its error."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field


class LossCurve(BaseModel):
    """One cell's losses; each list has an entry an epoch."""

    cell: int
    label: str
    n: list[int] = Field(description="Executions that trained this epoch: fewer where some stopped early.")
    mean: list[float]
    standard_error: list[float | None] = Field(description="Of the mean over executions; null of a single one.")


class LossCurves(BaseModel):
    """The training losses of an experiment, by cell; those of executions that have succeeded."""

    items: list[LossCurve]


def loss_curves(found: Sequence[tuple[int, list[float]]], labels: dict[int, str]) -> LossCurves:
    """The curves.

    Args:
        found: cell and losses of each execution, cell by cell.
        labels: of the cells, by position.
    """
    cells = groupby(found, key=lambda pair: pair[0])
    return LossCurves(items=[_curve(cell, labels[cell], [losses for _, losses in rows]) for cell, rows in cells])


def _curve(cell: int, label: str, executions: list[list[float]]) -> LossCurve:
    epochs = max(map(len, executions))
    padded: npt.NDArray[np.float64] = np.full((len(executions), epochs), np.nan)
    for row, losses in zip(padded, executions, strict=True):
        row[: len(losses)] = losses
    n = (~np.isnan(padded)).sum(axis=0)
    mean = np.nanmean(padded, axis=0)
    several = n > 1
    spread = np.sqrt(np.nansum((padded - mean) ** 2, axis=0) / np.maximum(n - 1, 1) / n)
    errors = [float(error) if known else None for error, known in zip(spread, several, strict=True)]
    return LossCurve(cell=cell, label=label, n=n.tolist(), mean=mean.tolist(), standard_error=errors)
