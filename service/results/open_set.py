"""How well each score tells known from unknown images: a row a cell, set of unknown images and score, and the same over splits."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, JsonValue

from noisegate.open_set import OpenSetFound, ScoreFound, SelectionFound
from noisegate.spec.labels import label
from noisegate.store.tables import Cell, Execution, Experiment
from service.results.schemas import ExperimentSummary
from service.results.statistics import PairedDifference, Summary, choose_baseline, compare_pairs, summarise
from service.schemas import DatasetSummary

# Paths of the spec that say which classes are known: cells that differ in nothing else are splits of one.
_SPLIT = "known"
METRICS = tuple(ScoreFound.model_fields)
SELECTION = tuple(SelectionFound.model_fields)


class OpenSetRow(BaseModel):
    """One score on one set of unknown images, averaged over executions; shares and areas lie in 0 … 1."""

    cell: int | None = Field(description="Null of a row over splits.")
    point: dict[str, JsonValue] = Field(description="The swept values; of a row over splits without the known classes.")
    label: str
    has_noise_class: bool
    splits: int = Field(description="Cells that it is over, each with other known classes.")
    n: int = Field(description="Executions that it is over.")
    unknown: str = Field(description="The dataset's name in the spec; `held_out` for the classes that are left out.")
    distance: str
    images: float = Field(description="Unknown images, on average.")
    score: str
    auroc: Summary
    aupr_unknown: Summary
    aupr_known: Summary
    known_rejected_at_95_unknown_rejected: Summary
    unknown_accepted_at_95_known_accepted: Summary
    detection_error: Summary
    oscr: Summary
    rejected: Summary | None = Field(description="Share of the unknown images rejected at the default budget.")
    difference: PairedDifference | None = Field(
        None,
        description="AUROC against the baseline's, pair by pair of splits and executions; in rows over splits alone.",
    )


class SelectionRow(BaseModel):
    """One score on the known test images alone: are those that it finds unknown the ones that are answered wrong?"""

    cell: int | None
    point: dict[str, JsonValue]
    label: str
    splits: int
    n: int
    score: str
    aurc: Summary
    augrc: Summary
    excess_aurc: Summary
    false_reject: Summary | None
    risk: Summary | None


class SplitRead(BaseModel):
    """What a cell was trained on."""

    cell: int
    known: list[str]
    held_out: list[str]
    known_images: int = Field(description="Test images of the known classes.")


class OpenSetResults(BaseModel):
    """Open-set metrics of an experiment as far as it has got; errors are over executions, those over splits over all of them."""

    experiment: ExperimentSummary
    dataset: DatasetSummary | None
    splits: list[SplitRead]
    rows: list[OpenSetRow]
    selection: list[SelectionRow]
    over_splits: list[OpenSetRow] = Field(description="Cells that differ in their known classes alone, taken together.")
    selection_over_splits: list[SelectionRow]


@dataclass(frozen=True)
class _Group:
    """Executions that are averaged, each with the part of its cell's point that names known classes."""

    cell: int | None
    point: dict[str, JsonValue]
    has_noise_class: bool
    splits: int
    found: Sequence[tuple[str, OpenSetFound]]


def tabulate_open_set(experiment: Experiment, executions: Sequence[Execution]) -> OpenSetResults:
    """The tables, from an experiment of kind `open_set` and its executions; those without open-set metrics are left out."""
    found: dict[str, list[tuple[str, OpenSetFound]]] = {}
    for execution in executions:
        if execution.details and execution.details.open_set:
            found.setdefault(execution.cell_id, []).append((str(execution.position), execution.details.open_set))
    cells = [(cell, found[cell.id]) for cell in experiment.cells if not cell.is_base and cell.id in found]
    groups = [_Group(cell.position, cell.point, cell.spec.has_noise_class, 1, of_cell) for cell, of_cell in cells]
    over_splits = _over_splits(cells)
    baseline = choose_baseline([group.has_noise_class for group in over_splits])
    return OpenSetResults(
        experiment=ExperimentSummary.model_validate(experiment),
        dataset=DatasetSummary.model_validate(experiment.dataset) if experiment.dataset else None,
        splits=[_split(cell, of_cell[0][1]) for cell, of_cell in cells],
        rows=[row for group in groups for row in _rows(group, None)],
        selection=[row for group in groups for row in _selection(group)],
        over_splits=[
            row
            for number, group in enumerate(over_splits)
            for row in _rows(group, None if baseline in (None, number) else over_splits[baseline])
        ],
        selection_over_splits=[row for group in over_splits for row in _selection(group)],
    )


def _over_splits(cells: Sequence[tuple[Cell, Sequence[tuple[str, OpenSetFound]]]]) -> list[_Group]:
    alike: dict[str, list[tuple[Cell, Sequence[tuple[str, OpenSetFound]]]]] = {}
    for cell, of_cell in cells:
        alike.setdefault(json.dumps(_without_split(cell.point), sort_keys=True), []).append((cell, of_cell))
    groups: list[_Group] = []
    for some in alike.values():
        together = [
            (f"{json.dumps(_split_of(cell.point), sort_keys=True)} {number}", one)
            for cell, of_cell in some
            for number, one in of_cell
        ]
        first = some[0][0]
        groups.append(_Group(None, _without_split(first.point), first.spec.has_noise_class, len(some), together))
    return groups


def _split_of(point: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in point.items() if path.split(".")[0] == _SPLIT}


def _without_split(point: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in point.items() if path not in _split_of(point)}


def _split(cell: Cell, found: OpenSetFound) -> SplitRead:
    return SplitRead(cell=cell.position, known=found.known, held_out=found.held_out, known_images=found.known_images)


def _rows(group: _Group, baseline: _Group | None) -> Iterator[OpenSetRow]:
    for unknown, score in dict.fromkeys(
        (one.name, score) for _, found in group.found for one in found.unknown for score in one.scores
    ):
        scores = _scores(group, unknown, score)
        sets = [one for _, found in group.found for one in found.unknown if one.name == unknown]
        summaries = {name: _summary([getattr(one, name) for one in scores.values()]) for name in METRICS}
        yield OpenSetRow.model_validate(
            {
                "cell": group.cell,
                "point": group.point,
                "label": label(group.point),
                "has_noise_class": group.has_noise_class,
                "splits": group.splits,
                "n": len(scores),
                "unknown": unknown,
                "distance": sets[0].distance,
                "images": sum(one.images for one in sets) / len(sets),
                "score": score,
                **summaries,
                "difference": _difference(scores, _scores(baseline, unknown, score)) if baseline else None,
            }
        )


def _scores(group: _Group, unknown: str, score: str) -> dict[str, ScoreFound]:
    """What each execution found of a score on a set, by split and number."""
    return {
        key: one.scores[score]
        for key, found in group.found
        for one in found.unknown
        if one.name == unknown and score in one.scores
    }


def _difference(ours: dict[str, ScoreFound], theirs: dict[str, ScoreFound]) -> PairedDifference | None:
    pairs = [(ours[key].auroc, theirs[key].auroc) for key in ours if key in theirs]
    return compare_pairs(pairs, "AUROC") if pairs else None


def _selection(group: _Group) -> Iterator[SelectionRow]:
    for score in dict.fromkeys(name for _, found in group.found for name in found.selection):
        values = [found.selection[score] for _, found in group.found if score in found.selection]
        yield SelectionRow.model_validate(
            {
                "cell": group.cell,
                "point": group.point,
                "label": label(group.point),
                "splits": group.splits,
                "n": len(values),
                "score": score,
                **{name: _summary([getattr(one, name) for one in values]) for name in SELECTION},
            }
        )


def _summary(values: Sequence[float | None]) -> Summary | None:
    return summarise([value for value in values if value is not None])
