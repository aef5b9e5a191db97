"""What routes ask for. All of it is async, as FastAPI would run each plain function in a thread of its own."""

import hashlib
from dataclasses import dataclass, replace
from typing import Annotated, cast

from fastapi import Depends, Query, Request

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import Wakeups
from service.access import Caller, KeyRing, caller_of
from service.browsers import Browsers
from service.classify.models import Classifiers
from service.database_counts import DatabaseCounts
from service.experiments.streams import Streams
from service.guide.site import Site
from service.idempotency import IdempotencyKeyHeader, Once, keyed

MAX_PAGE = 100


@dataclass(frozen=True)
class Resources:
    """Everything that is opened when the process starts and closed when it ends."""

    settings: Settings
    sessions: Sessions
    artefacts: Artefacts
    wakeups: Wakeups
    classifiers: Classifiers
    streams: Streams
    keys: KeyRing
    browsers: Browsers
    counts: DatabaseCounts
    guide: Site


def resources_of(request: Request) -> Resources:
    """For a route that has no time for dependencies. Its sessions see the rows of all owners."""
    return cast(Resources, request.scope["state"]["resources"])


async def _caller(request: Request) -> Caller:
    return caller_of(request.scope)


CallerDep = Annotated[Caller, Depends(_caller)]


async def _resources(request: Request, caller: CallerDep) -> Resources:
    resources = resources_of(request)
    return replace(resources, sessions=resources.sessions.of(caller.owner, sees_all=caller.sees_all))


ResourcesDep = Annotated[Resources, Depends(_resources)]


async def _settings(resources: ResourcesDep) -> Settings:
    return resources.settings


async def _sessions(resources: ResourcesDep) -> Sessions:
    return resources.sessions


async def _artefacts(resources: ResourcesDep) -> Artefacts:
    return resources.artefacts


async def _wakeups(resources: ResourcesDep) -> Wakeups:
    return resources.wakeups


async def _classifiers(resources: ResourcesDep) -> Classifiers:
    return resources.classifiers


SettingsDep = Annotated[Settings, Depends(_settings)]
SessionsDep = Annotated[Sessions, Depends(_sessions)]
ArtefactsDep = Annotated[Artefacts, Depends(_artefacts)]
WakeupsDep = Annotated[Wakeups, Depends(_wakeups)]
ClassifiersDep = Annotated[Classifiers, Depends(_classifiers)]


@dataclass(frozen=True)
class Paging:
    """Which page of a collection."""

    cursor: str | None
    limit: int


async def _paging(
    cursor: Annotated[
        str | None, Query(description="next_cursor of the page before, with the same filters as that page.")
    ] = None,
    limit: Annotated[int, Query(ge=1, description=f"Items a page; more than {MAX_PAGE} count as {MAX_PAGE}.")] = 20,
) -> Paging:
    return Paging(cursor, min(limit, MAX_PAGE))


PagingDep = Annotated[Paging, Depends(_paging)]


async def _once(request: Request, resources: ResourcesDep, idempotency_key: IdempotencyKeyHeader = None) -> Once:
    # FastAPI has read the body already, so this takes no time.
    body_digest = hashlib.sha256(await request.body()).hexdigest()
    return Once(resources.sessions, resources.settings, keyed(request, idempotency_key, body_digest))


OnceDep = Annotated[Once, Depends(_once)]
