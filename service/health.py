"""Whether this process lives, whether it can do its work, and where to go from here."""

from fastapi import APIRouter, Request, Response
from kombu.exceptions import OperationalError as BrokerAway
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from noisegate.errors import NotFound
from noisegate.store import workers
from noisegate.store.models import DEFAULT_ALIAS
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Dataset
from noisegate.store.wakeups import TRAIN, Wakeups
from service.accepting import preferred
from service.bodies import JSON
from service.classify.models import Classifiers
from service.deps import Resources, ResourcesDep
from service.errors import ModelUnusable

OK = "ok"
NO_MODEL = "no default model yet"
NO_WORKER = "none runs"
UNKNOWN = "unknown without the database"

router = APIRouter(tags=["health"])


class Liveness(BaseModel):
    status: str = OK


class Checks(BaseModel):
    """`ok`, or the reason why not."""

    database: str
    broker: str
    worker: str = Field(description=f"`{NO_WORKER}` is well too: what is posted waits, and what was trained is served.")
    model: str = Field(
        description=f"`{NO_MODEL}` is well too: a fresh installation has none. So is one that the name `default` has moved "
        "away from, to a model that cannot be loaded: it goes on serving, and this says why."
    )


class Readiness(BaseModel):
    ready: bool = Field(
        description="Whether this process can serve: database and broker answer, and the default model loads, if there is "
        "one. Without a worker, or before the first model, it serves what it can."
    )
    missing: list[str] = Field(description="Which of database, broker, worker and model are not `ok`.")
    checks: Checks


class Index(BaseModel):
    """Where things are."""

    name: str = "noisegate"
    pages: str = "/ui"
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    datasets: str = "/datasets"
    presets: str = "/presets"
    experiments: str = "/experiments"
    workers: str = "/workers"
    models: str = "/models"
    aliases: str = "/aliases"
    classify: str = "/classify"
    ready: str = "/readyz"


@router.get("/", response_model=Index)
async def get_index(request: Request, response: Response) -> Index | Response:
    """The way in; a browser, which asks for text/html, is sent to the pages for people."""
    vary = {"Vary": "Accept"}
    if preferred(request, [JSON, "text/html"]) != JSON:
        return RedirectResponse(request.scope.get("root_path", "") + Index().pages, 303, vary)
    response.headers.update(vary)
    return Index()


@router.get("/livez")
async def get_liveness() -> Liveness:
    """200 as long as the process answers at all."""
    return Liveness()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready"}})
async def get_readiness(resources: ResourcesDep, response: Response) -> Readiness:
    """200 when database and broker answer and the default model, if there is one, is loaded; and what is missing."""
    database = await run_in_threadpool(_database, resources.sessions)
    model, serves = await _model(resources.classifiers) if database == OK else (UNKNOWN, False)
    checks = Checks(
        database=database,
        broker=await run_in_threadpool(_broker, resources.wakeups),
        worker=await run_in_threadpool(_worker, resources) if database == OK else UNKNOWN,
        model=model,
    )
    ready = checks.database == OK and checks.broker == OK and serves
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, missing=[name for name, found in checks if found != OK], checks=checks)


def _database(sessions: Sessions) -> str:
    try:
        with sessions.reading() as session:
            # A table of ours: a database that was never migrated is not ready either.
            session.execute(select(Dataset.id).limit(1))
    except SQLAlchemyError as error:
        return f"does not answer ({type(error).__name__})"
    return OK


def _broker(wakeups: Wakeups) -> str:
    try:
        wakeups.waiting(TRAIN)
    except BrokerAway:
        return "does not answer; what waits starts within half a minute of its return"
    return OK


def _worker(resources: Resources) -> str:
    with resources.sessions.reading() as session:
        alive = workers.any_alive(session, within_seconds=resources.settings.lease_seconds)
    return OK if alive else NO_WORKER


async def _model(classifiers: Classifiers) -> tuple[str, bool]:
    """What to say of the default model, and whether what is asked of it is answered."""
    try:
        await classifiers.find(DEFAULT_ALIAS)
    except NotFound:
        return NO_MODEL, True
    except ModelUnusable as error:
        return error.detail, False
    return classifiers.trouble_with(DEFAULT_ALIAS) or OK, True
