"""What an exporter writes of an experiment: its executions as flat parameters, metrics and curves."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from noisegate.api.answers import ExecutionAnswer
from noisegate.client import Noisegate
from noisegate.client.answers import Experiment


@dataclass(frozen=True)
class Recorded:
    """One execution that has ended.

    Attributes:
        params: its spec and its point, by paths such as `training.epochs`; what is no number or text is JSON.
        metrics: Table 1 and the measures of its kind, where they are numbers.
        curves: losses by epoch, by their names; None where one was not finite.
    """

    execution: ExecutionAnswer
    label: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, list[float | None]]

    @property
    def name(self) -> str:
        """`noise.quantity=1, execution 3`."""
        return f"{self.label}, execution {self.execution.execution}"


def recorded(client: Noisegate, experiment: Experiment) -> Iterator[Recorded]:
    """The executions that have ended, by cell and number; those that wait or run are not told of."""
    labels = {cell.cell: "base" if cell.is_base else cell.label for cell in experiment.cells}
    found = [one for one in client.experiments.executions(experiment.id) if one.finished_at is not None]
    for execution in sorted(found, key=lambda one: (one.cell, one.execution)):
        spec = {name: value for name, value in experiment.spec.items() if name not in ("sweep", "executions")}
        params = dict(_flat(spec)) | {path: _text(value) for path, value in execution.point.items()}
        params |= {"cell": str(execution.cell), "execution": str(execution.execution), "seed": str(execution.seed)}
        yield Recorded(execution, labels[execution.cell], params, dict(_metrics(execution)), dict(_curves(execution)))


def milliseconds(moment: datetime | None) -> int | None:
    """Since 1970."""
    return None if moment is None else round(1000 * moment.timestamp())


def _metrics(execution: ExecutionAnswer) -> Iterator[tuple[str, float]]:
    numbers: dict[str, Any] = {
        **(execution.metrics or {}),
        **(execution.details or {}).get("measures", {}),
        "holdout_accuracy": execution.holdout_accuracy,
        "train_seconds": execution.train_seconds,
        "images_per_second": execution.images_per_second,
    }
    for name, value in numbers.items():
        if isinstance(value, int | float):
            yield name, float(value)


def _curves(execution: ExecutionAnswer) -> Iterator[tuple[str, list[float | None]]]:
    if execution.losses_by_epoch:
        yield "loss", execution.losses_by_epoch
    if stopping := (execution.details or {}).get("early_stopping"):
        yield "holdout_loss", stopping["holdout_losses"]


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
