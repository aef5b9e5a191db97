"""GET /results/{id}/confusion and /results/{id}/answers: what one execution said of each test image."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.deps import ArtefactsDep, SessionsDep
from service.errors import problems
from service.results.answers import Asked, ConfusionRead, ImageAnswers, Order, table_of

MOST = 200

router = APIRouter(prefix="/results", tags=["results"])

Cell = Annotated[int, Query(ge=0, description="Its number within the experiment.")]
Number = Annotated[int, Query(ge=0, description="Of the execution, within its cell.")]
Name = Annotated[str | None, Query(max_length=200)]


@router.get("/{experiment_id}/confusion", responses=problems(404, 422))
def get_confusion(
    experiment_id: str, sessions: SessionsDep, artefacts: ArtefactsDep, cell: Cell = 0, execution: Number = 0
) -> ConfusionRead:
    """How often test images of each class were given each class, by one execution whose model was kept."""
    with sessions.reading() as session:
        table = table_of(session, artefacts, experiment_id, cell, execution)
    sets = [table.confusion(name) for name in table.set_names()]
    return ConfusionRead(experiment=experiment_id, cell=cell, execution=execution, sets=sets)


@router.get("/{experiment_id}/answers", responses=problems(404, 422))
def list_answers(
    experiment_id: str,
    sessions: SessionsDep,
    artefacts: ArtefactsDep,
    cell: Cell = 0,
    execution: Number = 0,
    set: Annotated[str, Query(max_length=200, description="known, held_out, or a dataset's name.")] = "known",
    label: Name = None,
    given: Name = None,
    rejected: bool | None = None,
    right: Annotated[bool | None, Query(description="Whether it was given its own class.")] = None,
    order: Order = "surest",
    first: Annotated[int, Query(ge=0, description="How many to pass over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 60,
) -> ImageAnswers:
    """The test images of one cell of a confusion matrix, or of another choice, with what was said of each."""
    asked = Asked(set, label, given, rejected, right, order)
    with sessions.reading() as session:
        table = table_of(session, artefacts, experiment_id, cell, execution)
    return table.answers(asked, first, limit)
