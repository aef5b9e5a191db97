"""GET /results: one row a cell, as far as the experiment has got; and the curves of its executions."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from noisegate.spec.labels import label
from noisegate.store import executions, experiments
from service.accepting import chosen
from service.bodies import JSON
from service.deps import SessionsDep
from service.errors import problems
from service.results import curves
from service.results.curves import Curves
from service.results.losses import LossCurves, loss_curves
from service.results.reading import read_results
from service.results.schemas import Results
from service.results.tables import to_csv

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
_FORMATS = {"json": JSON, "csv": CSV}
_CURVE_FORMATS = {**_FORMATS, "parquet": PARQUET}

router = APIRouter(prefix="/results", tags=["results"])


@router.get(
    "/{experiment_id}",
    response_model=Results,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}, **problems(404, 422)},
)
def get_results(
    experiment_id: str,
    sessions: SessionsDep,
    request: Request,
    response: Response,
    format: Annotated[Literal["json", "csv"] | None, Query(description="Instead of what `Accept` says.")] = None,
) -> Results | Response:
    """Accuracy, confidence and spuriousness of each cell with their errors, tested against the baseline cell.

    JSON, or CSV if `format` or `Accept` says so.
    """
    with sessions.reading() as session:
        results = read_results(session, experiment_id)
    vary = {"Vary": "Accept"}
    if chosen(request, format, _FORMATS) == CSV:
        return Response(to_csv(results), headers=vary, media_type=CSV)
    response.headers.update(vary)
    return results


@router.get(
    "/{experiment_id}/curves",
    response_model=Curves,
    responses={
        200: {
            "content": {
                CSV: {"schema": {"type": "string"}},
                PARQUET: {"schema": {"type": "string", "format": "binary"}},
            }
        },
        **problems(404, 422),
    },
)
def get_curves(
    experiment_id: str,
    sessions: SessionsDep,
    request: Request,
    format: Annotated[
        Literal["json", "csv", "parquet"] | None, Query(description="Instead of what `Accept` says.")
    ] = None,
) -> Response:
    """The loss after each epoch of every execution, in one answer: as JSON, a list an execution.

    CSV or Parquet if `format` says so, or `Accept` names text/csv or application/vnd.apache.parquet: a row an epoch.
    """
    with sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
        found = curves.collect(experiment, executions.curves_of(session, experiment_id))
    vary = {"Vary": "Accept"}
    wanted = chosen(request, format, _CURVE_FORMATS)
    if wanted == CSV:
        return Response(curves.to_csv(found), headers=vary, media_type=CSV)
    if wanted == PARQUET:
        return Response(curves.to_parquet(found), headers=vary, media_type=PARQUET)
    return Response(found.model_dump_json(), headers=vary, media_type=JSON)


@router.get("/{experiment_id}/losses", responses=problems(404, 422))
def get_losses(experiment_id: str, sessions: SessionsDep) -> LossCurves:
    """Training loss by epoch: of each cell the mean over its executions with its standard error, and how many they are."""
    with sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
        found = executions.losses(session, experiment_id)
    return loss_curves(found, {cell.position: label(cell.point) for cell in experiment.cells})
