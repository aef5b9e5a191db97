"""Cells of any experiments side by side, in groups of one value of any field of their specs.

A cell's own numbers are those of its experiment's table. A group's are over all executions of its cells, computed here from the
executions themselves: what else is compared changes none of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from noisegate.store.tables import Experiment
from service.results.schemas import Results, Row
from service.results.statistics import Summary, summarise

# What can be compared, and what a value is multiplied by to be read.
MEASURES: dict[str, float] = {
    "accuracy": 100,
    "confidence": 100,
    "spuriousness": 100,
    "false_reject": 100,
    "noise_per_10000": 1,
    "holdout_accuracy": 100,
    "train_seconds": 1,
}
# They say which cell it is, and not what it is like.
_NOT_FIELDS = frozenset({"name", "seed", "sweep", "executions", "keep_models", "promote"})


@dataclass(frozen=True)
class Compared:
    """One cell among those that are compared."""

    experiment: str
    experiment_name: str
    row: Row
    fields: Mapping[str, JsonValue]
    values: Sequence[float]
    summary: Summary | None


@dataclass(frozen=True)
class Group:
    """The cells that have one value of a field, and their executions together."""

    value: JsonValue
    cells: list[Compared]
    summary: Summary | None

    def by_experiment(self) -> dict[str, Summary]:
        """Over the executions of each experiment's cells in this group, by the experiment's name."""
        values: dict[str, list[float]] = {}
        for cell in self.cells:
            values.setdefault(cell.experiment_name, []).extend(cell.values)
        summaries = {name: summarise(found) for name, found in values.items()}
        return {name: summary for name, summary in summaries.items() if summary is not None}


@dataclass(frozen=True)
class Comparison:
    """All that is shown: the groups, and the fields in which the cells differ."""

    groups: list[Group]
    fields: list[str]

    @property
    def cells(self) -> list[Compared]:
        """Of all groups, in order."""
        return [cell for group in self.groups for cell in group.cells]


def compared_cells(experiment: Experiment, results: Results, found: Sequence[tuple[int, float]]) -> Iterator[Compared]:
    """The cells of one experiment.

    Args:
        experiment: read with the specs of its cells.
        found: cell and value of each execution that has one.
    """
    specs = {cell.position: cell.spec for cell in experiment.cells}
    values: dict[int, list[float]] = {}
    for position, value in found:
        values.setdefault(position, []).append(value)
    for row in results.rows:
        own = values.get(row.cell, [])
        fields = dict(_flattened(specs[row.cell].model_dump(mode="json")))
        yield Compared(experiment.id, experiment.name or experiment.id, row, fields, own, summarise(own))


def compare(cells: Sequence[Compared], field: str | None) -> Comparison:
    """The cells in groups by a field of their specs; without one, each experiment is a group."""
    groups: dict[str, list[Compared]] = {}
    for cell in cells:
        key = cell.experiment if field is None else repr(cell.fields.get(field))
        groups.setdefault(key, []).append(cell)
    made = [
        Group(found[0].experiment_name if field is None else found[0].fields.get(field), found, _together(found))
        for found in groups.values()
    ]
    if field is not None:
        made.sort(key=lambda group: _order(group.value))
    return Comparison(made, _differing(cells))


def _together(cells: Sequence[Compared]) -> Summary | None:
    return summarise([value for cell in cells for value in cell.values])


def _differing(cells: Sequence[Compared]) -> list[str]:
    """The fields in which not all cells are alike."""
    paths = dict.fromkeys(path for cell in cells for path in cell.fields)
    return [path for path in paths if len({repr(cell.fields.get(path)) for cell in cells}) > 1]


def _flattened(document: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Every field by its path; of lists the whole."""
    for name, value in document.items():
        path = f"{prefix}{name}"
        if path in _NOT_FIELDS:
            continue
        if isinstance(value, dict):
            yield from _flattened(value, f"{path}.")
        else:
            yield path, value


def _order(value: JsonValue) -> tuple[int, float, str]:
    """Numbers by size, before all else by name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, float(value), "")
    return (1, 0.0, str(value))
