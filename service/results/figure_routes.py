"""GET /results/{id}/figures: the figures the paper would draw, from the results as far as they have got."""

from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from noisegate.store import executions
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution
from service.deps import ArtefactsDep, SessionsDep
from service.errors import problems
from service.results.figures.catalogue import draw, figures_of, needs_data, needs_samples
from service.results.figures.description import describe
from service.results.figures.entry import FigureData
from service.results.figures.files import Format, write
from service.results.reading import read_results
from service.results.samples import read_samples
from service.results.schemas import Results

MEDIA_TYPES: dict[Format, str] = {"svg": "image/svg+xml", "png": "image/png"}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}},
}

router = APIRouter(prefix="/results", tags=["results"])


class FigureRead(BaseModel):
    """A figure and where to get it."""

    name: str
    title: str
    svg: str = Field(description="Path of the drawing.")
    png: str = Field(description="Path of the image.")


class FigureList(BaseModel):
    """All figures of an experiment."""

    items: list[FigureRead]


@router.get("/{experiment_id}/figures", responses=problems(404, 422))
def list_figures(experiment_id: str, sessions: SessionsDep) -> FigureList:
    """The figures of an experiment; the one of its preset comes first."""
    with sessions.reading() as session:
        titles = figures_of(read_results(session, experiment_id))
    return FigureList(items=[_read(experiment_id, name, title) for name, title in titles.items()])


@router.get(
    "/{experiment_id}/figures/{name}.{format}", response_class=Response, responses=_CONTENT | problems(404, 422)
)
def get_figure(
    experiment_id: str,
    name: str,
    format: Format,
    sessions: SessionsDep,
    artefacts: ArtefactsDep,
) -> Response:
    """Measured values with error bars, the published ones beside them, as far as the experiment has got."""
    with sessions.reading() as session:
        results = read_results(session, experiment_id)
        data = _figure_data(session, experiment_id) if needs_data(results) else {}
        kept = executions.samples_of(session, experiment_id) if needs_samples(results) else []
    data = data or read_samples(artefacts, kept)
    return Response(_file(name, format, results, data), media_type=MEDIA_TYPES[format])


def _read(experiment_id: str, name: str, title: str) -> FigureRead:
    path = f"/results/{experiment_id}/figures/{name}"
    return FigureRead(name=name, title=title, svg=f"{path}.svg", png=f"{path}.png")


def _file(name: str, format: Format, results: Results, data: FigureData) -> bytes:
    figure = draw(name, results, data)
    return write(figure, format, title=figures_of(results)[name], description=describe(results))


def _figure_data(session: Session, experiment_id: str) -> FigureData:
    query = sa.select(Cell.position, Execution.details).join(Execution.cell)
    query = query.where(Execution.experiment_id == experiment_id, Execution.state == State.SUCCEEDED)
    found: dict[int, list[dict[str, Any]]] = {}
    for cell, details in session.execute(query.order_by(Cell.position, Execution.position)):
        found.setdefault(cell, []).append(details.figure if details else {})
    return found
