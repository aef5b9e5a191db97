"""Every error to one shape and one status: application/problem+json (RFC 9457), written here and nowhere else."""

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
import structlog
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, computed_field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Scope

from noisegate.api.problems import FieldProblem
from noisegate.errors import (
    Conflict,
    FieldError,
    InvalidInput,
    NewerVersion,
    NoisegateError,
    NotFound,
    NotReady,
    NotYours,
    QuotaExceeded,
    SourceUnavailable,
    StorageFull,
    StorageUnavailable,
    TooLarge,
    UnsupportedMedia,
)
from noisegate.spec import field_errors

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"
DATABASE_RETRY_SECONDS = 2
_PROTOCOL = "/v2"

RETRY_AFTER = {"description": "Seconds; missing where waiting would change nothing.", "schema": {"type": "integer"}}
_WORTH_WAITING = {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class Malformed(NoisegateError):
    """A body that is not what its content type says."""

    code = "malformed"
    title = "The request cannot be read"


class UnreadCoding(UnsupportedMedia):
    """A Content-Encoding that is not decoded here; `accepted` are those that are."""

    def __init__(self, coding: str, accepted: str) -> None:
        remedy = "Send it uncompressed, without Content-Encoding."
        super().__init__(f"a body with the Content-Encoding {coding!r} is not read here", remedy=remedy)
        self.accepted = accepted


class Unauthenticated(NoisegateError):
    """No key, or one that opens nothing."""

    code = "unauthenticated"
    title = "A valid API key is needed"


class Forbidden(NoisegateError):
    """A key without the scope that this takes."""

    code = "forbidden"
    title = "The API key does not allow this"


class ModelUnusable(NoisegateError):
    """A registered model whose files are missing or damaged: nothing the caller did."""

    code = "model-unusable"
    title = "The model cannot be loaded"


# Subclasses have their base's status unless they stand here themselves.
STATUSES: dict[type[NoisegateError], HTTPStatus] = {
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    Malformed: HTTPStatus.BAD_REQUEST,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    QuotaExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    NotYours: HTTPStatus.FORBIDDEN,
    StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    StorageUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    SourceUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelUnusable: HTTPStatus.INTERNAL_SERVER_ERROR,
    NewerVersion: HTTPStatus.NOT_IMPLEMENTED,
}

# What the framework raises by itself, in our words: status to code, title, detail (None keeps the framework's).
_FRAMEWORK: dict[int, tuple[str, str, str | None]] = {
    400: (Malformed.code, Malformed.title, None),
    404: (NotFound.code, NotFound.title, "there is nothing at this path; GET / lists what there is"),
    405: ("method-not-allowed", "This path does not answer to that method", "the Allow header names those it answers"),
    413: (TooLarge.code, TooLarge.title, None),
}

# More would not be read, and a body might have a million.
_MOST_FIELDS = 20

# Where a parameter stands is clear from its name; only the path within it is told.
_PLACES = {"body", "query", "path", "header"}


class Problem(BaseModel):
    """What went wrong, and what to do about it. Rows keep these without a status."""

    model_config = ConfigDict(from_attributes=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def type(self) -> str:
        return f"urn:noisegate:problem:{self.code}"

    title: str
    status: int | None = None
    detail: str
    code: str = Field(description="Never changes; made for programs.")
    remedy: str | None = None
    worker: str | None = Field(None, description="Name of the worker whose process met it, where one did.")
    errors: list[FieldProblem] = []


def problem_of(error: Exception) -> Problem:
    """The problem that stands for `error`; an unexpected one becomes a 500 that gives nothing away."""
    match error:
        case NoisegateError():
            return _domain_problem(error)
        case RequestValidationError():
            return _validation_problem(error)
        case HTTPException():
            return _framework_problem(error)
        case sa.exc.OperationalError() | sa.exc.TimeoutError():
            detail = "the database cannot be reached"
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "database-away", "The database is away", detail)
        case sa.exc.IntegrityError():
            # The store looks before it writes; this is another request that wrote in between.
            detail = "another request changed the same thing at the same time"
            return _problem(HTTPStatus.CONFLICT, Conflict.code, Conflict.title, detail, remedy="Send it again.")
        case sa.exc.DataError():
            # PostgreSQL stores no NUL character; no other value that passes validation is refused.
            detail = "contains a character that cannot be stored"
            return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, InvalidInput.code, InvalidInput.title, detail)
        case ClientDisconnect():
            return _problem(HTTPStatus.BAD_REQUEST, Malformed.code, Malformed.title, "the body ended before its end")
        case _:
            detail = "an unexpected error; the server's log has it"
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "unexpected", "Something went wrong", detail)


def answer_to(request: Request, error: Exception, routers: Sequence[APIRouter] = ()) -> Response:
    """The problem that answers `error`; what is our fault is logged. `routers` know the methods of a path."""
    problem = problem_of(error)
    assert problem.status is not None, "an answer has a status"
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("request_failed", method=request.method, path=request.url.path, code=problem.code, exc_info=error)
    document = problem.model_dump(mode="json")
    if speaks_protocol(request.scope):
        document["error"] = f"{problem.detail}. {problem.remedy}" if problem.remedy else problem.detail
    # Escaped to ASCII: a message may quote text that UTF-8 cannot encode, such as half a surrogate pair.
    content = json.dumps(document)
    headers = {**_headers(error), **_allow(request, problem, routers)}
    return Response(content, problem.status, headers, PROBLEM_JSON)


def path_of(scope: Scope) -> str:
    """The request's path, without a root path."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def speaks_protocol(scope: Scope) -> bool:
    """Whether this is the Open Inference Protocol, whose clients show the member `error` of a problem and nothing else."""
    path = path_of(scope)
    return path == _PROTOCOL or path.startswith(f"{_PROTOCOL}/")


def install_handlers(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Answer every error of `app`, which is made of these routers, with its problem."""

    async def answer(request: Request, error: Exception) -> Response:
        return answer_to(request, error, routers)

    database = (sa.exc.OperationalError, sa.exc.TimeoutError, sa.exc.IntegrityError, sa.exc.DataError)
    for kind in (NoisegateError, RequestValidationError, HTTPException, ClientDisconnect, *database, Exception):
        app.add_exception_handler(kind, answer)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries for answers with these statuses."""
    return {status: _documented(HTTPStatus(status)) for status in statuses}


def _documented(status: HTTPStatus) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers = {"headers": {"Retry-After": RETRY_AFTER}} if status in _WORTH_WAITING else {}
    return {"description": status.phrase, "content": content, **headers}


def _allow(request: Request, problem: Problem, routers: Sequence[APIRouter]) -> Mapping[str, str]:
    """The methods that the request's path answers to: the framework names those of one route alone."""
    if problem.status != HTTPStatus.METHOD_NOT_ALLOWED:
        return {}
    path = path_of(request.scope)
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    methods = {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
    heads = {"HEAD"} if "GET" in methods else set()
    return {"Allow": ", ".join(sorted(methods | heads))} if methods else {}


def _headers(error: Exception) -> Mapping[str, str]:
    match error:
        case NotReady() | QuotaExceeded() | StorageUnavailable():
            return {"Retry-After": str(error.retry_after_seconds)}
        case Unauthenticated():
            return {"WWW-Authenticate": 'Bearer realm="noisegate"'}
        case UnreadCoding():
            return {"Accept-Encoding": error.accepted}
        case HTTPException():
            return error.headers or {}
        case sa.exc.OperationalError() | sa.exc.TimeoutError():
            return {"Retry-After": str(DATABASE_RETRY_SECONDS)}
        case _:
            return {}


def _domain_problem(error: NoisegateError) -> Problem:
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    return _problem(status, error.code, error.title, error.detail, remedy=error.remedy, errors=error.errors)


def _validation_problem(error: RequestValidationError) -> Problem:
    found = error.errors()
    if broken := [entry for entry in found if entry["type"] == "json_invalid"]:
        detail = f"the body is not valid JSON: {broken[0].get('ctx', {}).get('error', broken[0]['msg'])}"
        return _problem(HTTPStatus.BAD_REQUEST, Malformed.code, Malformed.title, detail)
    fields = field_errors([entry | {"loc": _within(entry["loc"])} for entry in found[:_MOST_FIELDS]])
    detail = "; ".join(f"{field.field}: {field.message}" for field in fields)
    if len(found) > _MOST_FIELDS:
        detail += f"; and {len(found) - _MOST_FIELDS:,} more"
    return _problem(HTTPStatus.UNPROCESSABLE_ENTITY, InvalidInput.code, InvalidInput.title, detail, errors=fields)


def _within(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return location[1:] if location and location[0] in _PLACES else location


def _framework_problem(error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    slug = status.phrase.lower().replace(" ", "-")
    code, title, detail = _FRAMEWORK.get(status, (slug, status.phrase, None))
    return _problem(status, code, title, detail or error.detail)


def _problem(
    status: HTTPStatus,
    code: str,
    title: str,
    detail: str,
    *,
    remedy: str | None = None,
    errors: Iterable[FieldError] = (),
) -> Problem:
    fields = [FieldProblem(field=entry.field, message=entry.message, remedy=entry.remedy) for entry in errors]
    return Problem(title=title, status=status, detail=detail, code=code, remedy=remedy, errors=fields)
