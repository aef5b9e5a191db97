"""Experiments: planned, posted, listed, cancelled, deleted."""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, BackgroundTasks, Depends, Query, Response
from sqlalchemy.orm import Session

from noisegate import tracing
from noisegate.store import awaiting, deletion, estimates, executions, experiments, files, missing, planning, quotas
from noisegate.store.idempotency import StoredAnswer
from noisegate.store.missing import DiskNeed
from noisegate.store.pages import Page
from noisegate.store.planning import Plan
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from service.bodies import JSON, require_json
from service.deps import ArtefactsDep, OnceDep, PagingDep, Resources, ResourcesDep, SessionsDep
from service.errors import problems
from service.experiments.reading import read
from service.experiments.schemas import ExecutionRead, ExperimentRead, PlanRead, Posted, PostedBody
from service.idempotency import REPLAYED, Once
from service.samples.selecting import Selecting
from service.samples.tables import TableWanted, ask_for
from service.schemas import LOCATED, POLL_SECONDS, POLLED, Collection, DeletedRead

log = structlog.get_logger(__name__)

# More than a worker has processes. The end of an execution wakes another as long as something waits.
WAKEUPS = 64
MAX_TIME_LIMIT_SECONDS = 30 * 24 * 3600

_CREATED: dict[int | str, dict[str, Any]] = {
    200: {"model": PlanRead, "description": "The plan (dry_run)"},
    202: {"description": "It waits for workers", "headers": LOCATED | POLLED | REPLAYED},
}

router = APIRouter(prefix="/experiments", tags=["experiments"])

TimeLimit = Annotated[
    float | None,
    Query(
        ge=1,
        le=MAX_TIME_LIMIT_SECONDS,
        allow_inf_nan=False,
        description="Seconds after which it is cancelled if it has not ended. They begin with its first execution: waiting for a "
        "worker, and for views and features to be made, does not count.",
    ),
]


@router.post(
    "",
    status_code=202,
    response_model=ExperimentRead,
    dependencies=[Depends(require_json)],
    responses=_CREATED | problems(400, 409, 413, 415, 422, 429, 507),
)
def create_experiment(
    posted: PostedBody,
    resources: ResourcesDep,
    once: OnceDep,
    background: BackgroundTasks,
    time_limit: TimeLimit = None,
    dry_run: bool = False,
) -> Response:
    """Run what the spec, or the preset, asks for in every cell of its sweep. With `dry_run`, only say what that comes to."""
    try:
        return _answered(posted, resources, once, background, time_limit, dry_run)
    except TableWanted as wanted:
        ask_for(resources.sessions, resources.wakeups, wanted)
        raise


def _answered(
    posted: Posted,
    resources: Resources,
    once: Once,
    background: BackgroundTasks,
    time_limit: float | None,
    dry_run: bool,
) -> Response:
    if dry_run:
        with resources.sessions.reading() as session:
            chosen = posted.for_dataset(session)
            select = Selecting(session, resources.artefacts)
            planned = planning.plan(session, chosen.spec, resources.settings.caps, select)
            need = _fitting(session, planned, resources)
            answer = PlanRead.of(chosen, planned, estimates.estimate(session, planned), need, time_limit)
        return Response(answer.model_dump_json(), media_type=JSON)

    def create(session: Session) -> StoredAnswer:
        (answer,) = read(session, [_created(session, posted, resources, time_limit)])
        # After the answer: a broker that is away must not keep anyone waiting for what is safe in the database already.
        background.add_task(_announce, resources, answer, awaiting.waiting_artefacts(session, answer.id))
        headers = {"Location": f"/experiments/{answer.id}", "Retry-After": POLL_SECONDS}
        return StoredAnswer(202, headers, answer.model_dump_json())

    return once.answer(create)


@router.get("", responses=problems(422))
def list_experiments(
    sessions: SessionsDep, paging: PagingDep, state: State | None = None
) -> Collection[ExperimentRead]:
    """Experiments, newest first."""
    with sessions.reading() as session:
        page: Page[Experiment] = experiments.page(session, state=state, cursor=paging.cursor, limit=paging.limit)
        return Collection(items=read(session, page.items), next_cursor=page.next_cursor)


@router.get("/{experiment_id}", responses={200: {"headers": POLLED}, **problems(404, 422)})
def get_experiment(experiment_id: str, sessions: SessionsDep, response: Response) -> ExperimentRead:
    """One experiment; `Retry-After` says when to look again while it is under way."""
    with sessions.reading() as session:
        experiment = experiments.get(session, experiment_id)
        tracing.link(experiment.traceparent)
        (answer,) = read(session, [experiment])
    return _polled(answer, response)


@router.post(
    "/{experiment_id}/cancel",
    status_code=202,
    responses={202: {"description": "It ends, or has", "headers": POLLED}, **problems(404, 409, 422)},
)
def cancel_experiment(experiment_id: str, sessions: SessionsDep, response: Response) -> ExperimentRead:
    """Ask an experiment to end. What waits is cancelled now, what runs stops within seconds. Asking twice changes nothing."""
    with sessions.begin() as session:
        (answer,) = read(session, [experiments.cancel(session, experiment_id)])
    log.info("experiment_cancelled", experiment=experiment_id)
    return _polled(answer, response)


@router.delete("/{experiment_id}", responses=problems(404, 409, 422))
def delete_experiment(
    experiment_id: str, sessions: SessionsDep, artefacts: ArtefactsDep, dry_run: bool = False
) -> DeletedRead:
    """Delete an experiment that has ended, with its executions, results and models. With `dry_run`, only say what would go."""
    act = deletion.plan_experiment if dry_run else deletion.delete_experiment
    with sessions.begin() as session:
        deleted = act(session, experiment_id)
    named = sorted(set(deleted.digests))
    gone = named if dry_run else files.discard(sessions, artefacts, named)
    if not dry_run:
        log.info("experiment_deleted", experiment=experiment_id)
    return DeletedRead.of(deleted, files=len(gone), experiment=experiment_id)


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


def _created(session: Session, posted: Posted, resources: Resources, time_limit: float | None) -> Experiment:
    settings, posted = resources.settings, posted.for_dataset(session)
    planned = planning.plan(session, posted.spec, settings.caps, Selecting(session, resources.artefacts))
    quotas.check_queue(session, planned.executions, most=settings.max_queued_executions)
    quotas.check_room(resources.artefacts, min_free_bytes=settings.min_free_bytes)
    _fitting(session, planned, resources)
    return planning.create(
        session,
        planned,
        preset=posted.preset,
        scale=posted.scale,
        choice=posted.choice,
        time_limit=time_limit,
        traceparent=tracing.traceparent(),
    )


def _fitting(session: Session, planned: Plan, resources: Resources) -> DiskNeed:
    """What is to be made of the images first; raises StorageFull where it has no room."""
    need, settings = missing.disk_need(session, planned), resources.settings
    # Machines that share artefacts elsewhere make them on disks of their own, and look there.
    if need.made and not settings.artefact_url:
        what = f"making {' and '.join(need.made)} first"
        quotas.check_room_for(resources.artefacts, what, need.most_bytes, min_free_bytes=settings.min_free_bytes)
    return need


def _announce(resources: Resources, answer: ExperimentRead, awaited: list[str]) -> None:
    # The line that ties a request to what workers log: theirs have the experiment's id, this one has both.
    log.info("experiment_posted", experiment=answer.id, executions=answer.executions)
    for id in awaited:
        resources.wakeups.derive(id)
    resources.wakeups.train(answer.id, count=min(answer.executions, WAKEUPS))


def _polled(answer: ExperimentRead, response: Response) -> ExperimentRead:
    if not answer.state.terminal:
        response.headers["Retry-After"] = POLL_SECONDS
    return answer
