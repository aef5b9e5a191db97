"""Experiments: planned, posted, watched, cancelled."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, BackgroundTasks, Depends, Response
from sqlalchemy.orm import Session

from noisegate.store import executions, experiments, planning
from noisegate.store.pages import Page
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution, Experiment
from service.bodies import JSON, require_json
from service.deps import PagingDep, SessionsDep, SettingsDep, WakeupsDep
from service.errors import problems
from service.experiments.schemas import ExecutionRead, ExperimentRead, PlanRead, PostedBody
from service.schemas import POLL_SECONDS, Collection

# More than a worker has processes. Whoever ends an execution wakes another as long as something waits.
WAKEUPS = 64

router = APIRouter(prefix="/experiments", tags=["experiments"])


@router.post(
    "",
    status_code=202,
    response_model=ExperimentRead,
    dependencies=[Depends(require_json)],
    responses={200: {"model": PlanRead, "description": "The plan (dry_run)"}, **problems(400, 409, 413, 415, 422)},
)
def create_experiment(
    posted: PostedBody,
    sessions: SessionsDep,
    settings: SettingsDep,
    wakeups: WakeupsDep,
    background: BackgroundTasks,
    response: Response,
    dry_run: bool = False,
) -> ExperimentRead | Response:
    """Run what the spec, or the preset, asks for in every cell of its sweep. With `dry_run`, only say what that comes to."""
    if dry_run:
        with sessions.reading() as session:
            plan = PlanRead.of(posted, planning.plan(session, posted.spec, settings.caps))
        return Response(plan.model_dump_json(), media_type=JSON)
    with sessions.begin() as session:
        planned = planning.plan(session, posted.spec, settings.caps)
        experiment = planning.create(session, planned, preset=posted.preset, scale=posted.scale)
        (answer,) = _read(session, [experiment])
    # After the answer: a broker that is away must not keep anyone waiting for what is safe in the database already.
    background.add_task(wakeups.train, answer.id, count=min(answer.executions, WAKEUPS))
    response.headers["Location"] = f"/experiments/{answer.id}"
    response.headers["Retry-After"] = POLL_SECONDS
    return answer


@router.get("", responses=problems(422))
def list_experiments(
    sessions: SessionsDep, paging: PagingDep, state: State | None = None
) -> Collection[ExperimentRead]:
    """Experiments, newest first."""
    with sessions.reading() as session:
        page: Page[Experiment] = experiments.page(session, state=state, cursor=paging.cursor, limit=paging.limit)
        return Collection(items=_read(session, page.items), next_cursor=page.next_cursor)


@router.get("/{experiment_id}", responses=problems(404, 422))
def get_experiment(experiment_id: str, sessions: SessionsDep, response: Response) -> ExperimentRead:
    """One experiment; `Retry-After` says when to look again while it is under way."""
    with sessions.reading() as session:
        (answer,) = _read(session, [experiments.get(session, experiment_id)])
    return _polled(answer, response)


@router.post("/{experiment_id}/cancel", status_code=202, responses=problems(404, 409, 422))
def cancel_experiment(experiment_id: str, sessions: SessionsDep, response: Response) -> ExperimentRead:
    """Ask an experiment to end. What waits is cancelled now, what runs stops within seconds. Asking twice changes nothing."""
    with sessions.begin() as session:
        (answer,) = _read(session, [experiments.cancel(session, experiment_id)])
    return _polled(answer, response)


@router.get("/{experiment_id}/executions", responses=problems(404, 422))
def list_executions(
    experiment_id: str, sessions: SessionsDep, paging: PagingDep, state: State | None = None
) -> Collection[ExecutionRead]:
    """The training runs of an experiment, newest first."""
    with sessions.reading() as session:
        experiments.get(session, experiment_id)
        page: Page[Execution] = executions.page(
            session, experiment_id, state=state, cursor=paging.cursor, limit=paging.limit
        )
        return Collection(items=[ExecutionRead.of(row) for row in page.items], next_cursor=page.next_cursor)


def _read(session: Session, rows: Sequence[Experiment]) -> list[ExperimentRead]:
    progress = experiments.progress(session, [row.id for row in rows])
    return [ExperimentRead.of(row, progress[row.id], _first_error(session, row)) for row in rows]


def _first_error(session: Session, experiment: Experiment) -> dict[str, Any] | None:
    if experiment.state is not State.FAILED:
        return None
    query = sa.select(Execution.error).join(Execution.cell).order_by(Cell.position, Execution.position).limit(1)
    return session.scalar(query.where(Execution.experiment_id == experiment.id, Execution.state == State.FAILED))


def _polled(answer: ExperimentRead, response: Response) -> ExperimentRead:
    if not answer.state.terminal:
        response.headers["Retry-After"] = POLL_SECONDS
    return answer
