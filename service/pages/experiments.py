"""Experiments: the list, and the page of one, which is watched while it trains and read when it has ended."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from noisegate.details import Details
from noisegate.errors import NotFound
from noisegate.spec.labels import label
from noisegate.store import executions, experiments, models
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from service.deps import PagingDep
from service.experiments.reading import read
from service.experiments.schemas import ExecutionRead, ExperimentRead
from service.pages.code import address_of, experiment_as_curl, experiment_as_python
from service.pages.frame import FrameDep
from service.pages.samples import records_samples
from service.pages.summaries import best_cells
from service.pages.whiskers import accuracy_whiskers
from service.results.figures.catalogue import figures_of
from service.results.reading import read_results
from service.results.schemas import Results

_RUNNING_SHOWN, _AT_ONCE = 24, 1_000

router = APIRouter(prefix="/ui/experiments", include_in_schema=False)

StateFilter = Annotated[State | None, Query()]


@dataclass(frozen=True)
class CellProgress:
    """One cell and its executions by state."""

    cell: int
    label: str
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


@router.get("")
def list_page(frame: FrameDep, paging: PagingDep, state: StateFilter = None) -> Response:
    """All experiments, newest first."""
    with frame.sessions.reading() as session:
        page = experiments.page(session, state=state, cursor=paging.cursor, limit=paging.limit)
        rows = read(session, page.items)
        best = best_cells(session, rows)
    return frame.page("experiments.html", rows=rows, best=best, next=page.next_cursor, state=state, states=list(State))


@router.get("/{experiment_id}")
def experiment_page(experiment_id: str, frame: FrameDep) -> Response:
    """One experiment: how far it is, what came out, and where it comes from."""
    with frame.sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
        (shown,) = read(session, [experiment])
        values = _progress(session, experiment, shown)
        # Of more executions the table takes longer than a page should: it comes by itself, a moment later.
        large = shown.executions > _AT_ONCE
        values |= _results(None if large else read_results(session, experiment_id))
        kept = models.page(session, experiment_id=experiment_id, cursor=None, limit=1)
    spec = shown.spec.model_dump(mode="json", exclude_defaults=True)
    spec |= {"kind": shown.spec.kind}
    address = address_of(frame.request)
    return frame.page(
        "experiment.html",
        has_models=bool(kept.items),
        records_samples=records_samples(experiment),
        spec=spec,
        curl=experiment_as_curl(address, spec, keys=frame.caller.key_id is not None),
        python=experiment_as_python(address, spec),
        **values,
    )


@router.get("/{experiment_id}/progress")
def progress_part(experiment_id: str, frame: FrameDep) -> Response:
    """The part of the page that follows the training."""
    with frame.sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
        (shown,) = read(session, [experiment])
        values = _progress(session, experiment, shown)
    return frame.page("experiment_progress.html", **values)


@router.get("/{experiment_id}/results")
def results_part(experiment_id: str, frame: FrameDep) -> Response:
    """The part of the page that changes when an execution ends."""
    with frame.sessions.reading() as session:
        values = _results(read_results(session, experiment_id))
    return frame.page("experiment_results.html", **values)


@router.get("/{experiment_id}/figures")
def figures_part(experiment_id: str, frame: FrameDep) -> Response:
    """The figures, and what the numbers were computed with."""
    with frame.sessions.reading() as session:
        (shown,) = read(session, [experiments.get(session, experiment_id)])
        values = _results(read_results(session, experiment_id))
    return frame.page("experiment_figures.html", experiment=shown, **values)


def _results(results: Results | None) -> dict[str, Any]:
    """What the table and the figures are made of; None: they are asked for later."""
    if results is None:
        return {"results": None, "whiskers": {}, "figures": {}}
    return {"results": results, "whiskers": accuracy_whiskers(results.rows), "figures": figures_of(results)}


@router.get("/{experiment_id}/cells/{cell}")
def cell_page(experiment_id: str, cell: int, frame: FrameDep) -> Response:
    """The executions of one cell."""
    with frame.sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
        found = next((one for one in experiment.cells if one.position == cell), None)
        if found is None:
            raise NotFound(f"experiment {experiment_id} has no cell {cell}", field="cell")
        rows = [ExecutionRead.of(row) for row in executions.of_cell(session, experiment_id, cell)]
        (shown,) = read(session, [experiment])
    return frame.page(
        "cell.html", experiment=shown, cell=cell, label="base" if found.is_base else label(found.point), rows=rows
    )


def _holdout_losses(row: Execution) -> list[float | None]:
    """By epoch, of an execution that stops early."""
    stopping = row.details.early_stopping if isinstance(row.details, Details) else None
    return stopping.holdout_losses if stopping else []


def _progress(session: Session, experiment: Experiment, shown: ExperimentRead) -> dict[str, Any]:
    counted = executions.counts_by_cell(session, experiment.id)
    states = [state for state in State if state is not State.CANCELLING]
    cells = [
        CellProgress(cell.cell, cell.label, {state.value: counted.get(cell.cell, {}).get(state, 0) for state in states})
        for cell in shown.cells
    ]
    running: list[Execution] = []
    if shown.counts.running:
        running = list(executions.running(session, experiment.id, most=_RUNNING_SHOWN))
    return {
        "experiment": shown,
        "cells": cells,
        "running": [ExecutionRead.of(row) for row in running],
        "holdout": {row.id: _holdout_losses(row) for row in running},
        "last_event": experiment.last_event,
        "speed": sum(row.images_per_second or 0 for row in running),
    }
