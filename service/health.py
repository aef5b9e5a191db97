"""Whether this process lives, whether it can do its work, and where to go from here."""

from fastapi import APIRouter, Response
from kombu.exceptions import OperationalError as BrokerAway
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from noisegate.errors import NotFound
from noisegate.store.models import DEFAULT_ALIAS
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Dataset
from noisegate.store.wakeups import TRAIN, Wakeups
from service.classify.models import Classifiers
from service.deps import ResourcesDep
from service.errors import ModelUnusable

OK = "ok"
NO_MODEL = "no default model yet"

router = APIRouter(tags=["health"])


class Liveness(BaseModel):
    status: str = OK


class Checks(BaseModel):
    """`ok`, or the reason why not."""

    database: str
    broker: str
    model: str = Field(description=f"`{NO_MODEL}` is well too: a fresh installation has none.")


class Readiness(BaseModel):
    ready: bool
    checks: Checks


class Index(BaseModel):
    """Where things are."""

    name: str = "noisegate"
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    datasets: str = "/datasets"
    experiments: str = "/experiments"
    models: str = "/models"
    aliases: str = "/aliases"
    classify: str = "/classify"
    ready: str = "/readyz"


@router.get("/")
async def get_index() -> Index:
    """The way in."""
    return Index()


@router.get("/livez")
async def get_liveness() -> Liveness:
    """200 as long as the process answers at all."""
    return Liveness()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready"}})
async def get_readiness(resources: ResourcesDep, response: Response) -> Readiness:
    """200 when database and broker answer and the default model, if there is one, is loaded."""
    database = await run_in_threadpool(_database, resources.sessions)
    checks = Checks(
        database=database,
        broker=await run_in_threadpool(_broker, resources.wakeups),
        model=await _model(resources.classifiers) if database == OK else "unknown without the database",
    )
    ready = checks.database == OK and checks.broker == OK and checks.model in (OK, NO_MODEL)
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, checks=checks)


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


async def _model(classifiers: Classifiers) -> str:
    try:
        await classifiers.find(DEFAULT_ALIAS)
    except NotFound:
        return NO_MODEL
    except ModelUnusable as error:
        return error.detail
    return OK
