"""GET /results: one row a cell, as far as the experiment has got."""

from fastapi import APIRouter, Request, Response

from noisegate.store import executions, experiments, models
from service.deps import SessionsDep
from service.errors import problems
from service.results.schemas import Results
from service.results.tables import tabulate, to_csv

CSV = "text/csv"

router = APIRouter(prefix="/results", tags=["results"])


@router.get(
    "/{experiment_id}",
    response_model=Results,
    responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}, **problems(404, 422)},
)
def get_results(experiment_id: str, sessions: SessionsDep, request: Request, response: Response) -> Results | Response:
    """Accuracy, confidence and spuriousness of each cell with their errors, tested against the baseline cell.

    JSON, or CSV if `Accept` names text/csv.
    """
    with sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
        found = executions.of_experiment(session, experiment_id)
        results = tabulate(experiment, found, models.best_by_cell(session, experiment_id))
    vary = {"Vary": "Accept"}
    if CSV in request.headers.get("accept", "").lower():
        return Response(to_csv(results), headers=vary, media_type=CSV)
    response.headers.update(vary)
    return results
