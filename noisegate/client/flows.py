"""What a call asks of a service, written once for the synchronous and the asynchronous client.

A call is a generator, a *flow*: it yields the requests to send and the pauses to make, is sent each response, and returns what the
caller gets. `fronts` has the two that carry flows out. So retrying, waiting and paging stand here alone.
"""

import os
import random
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import ValidationError

from noisegate.api.base import Answer
from noisegate.client.errors import ClientError, ProblemError, ServiceUnreachable, UnexpectedAnswer, WaitedTooLong

DEFAULT_URL = "http://127.0.0.1:8000"
PAGE_SIZE = 100

# The service restarts, its database is away, or it has too much to do: worth asking again.
_PASSING = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
# Said before anything was carried out.
_REFUSED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_LONGEST_RETRY_AFTER_SECONDS = 60.0

Item = TypeVar("Item")
Model = TypeVar("Model", bound=Answer)
Query = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        params: of the query; None is left out.
        content: the body, made anew each time it is sent.
        files: of a form: for each its field, and its name and content; a path is read as it is sent.
        into: where the body of an answer of success is written, from its beginning, instead of being kept in memory.
        repeatable: whether it may be sent again where the service may have carried it out: because that changes nothing, or because
            its Idempotency-Key keeps it from being done twice.
        patient: whether it is sent again for as long as `patience_seconds`, and not a few times only.
        waits_for_room: whether a service that has none, 429, is asked again for as long.
        even_at_first: whether also a service that was never reached is waited for.
    """

    method: str
    path: str
    params: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: Callable[[], Iterator[bytes]] | bytes | None = None
    files: Sequence[tuple[str, tuple[str, bytes | Path]]] | None = None
    timeout: float | None = None
    into: BinaryIO | None = None
    repeatable: bool = True
    patient: bool = False
    waits_for_room: bool = False
    even_at_first: bool = False


@dataclass(frozen=True)
class Pause:
    """Nothing is to be done for a while."""

    seconds: float


Flow = Generator[Request | Pause, Any, Item]


@dataclass(frozen=True)
class Listing(Generic[Model]):
    """A collection that comes page by page."""

    path: str
    model: type[Model]
    params: Query = field(default_factory=dict)
    patient: bool = False


class Core:
    """One service, and how calls to it are retried, checked and read.

    Args:
        base_url: address of the service.
        timeout: seconds that connecting, and each read or write, may take.
        api_key: shown with every request; by default NOISEGATE_API_KEY of the environment, if that is set.
        max_retries: how often a request is sent again after a connection that broke, a 429 or a 5xx. Where that might do something
            twice it is not.
        patience_seconds: how long waiting, and posting an experiment or an upload, bears a service that does not answer.
    """

    def __init__(
        self, base_url: str, timeout: float, api_key: str | None, max_retries: int, patience_seconds: float
    ) -> None:
        self.url = _address(base_url)
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.max_retries = max_retries
        self.patience_seconds = patience_seconds
        key = os.environ.get("NOISEGATE_API_KEY", "") if api_key is None else api_key
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._reached = False

    def read(self, request: Request, model: type[Model]) -> Flow[Model]:
        """The answer to a request, as `model`."""
        return self.parsed((yield from self.send(request)), model)

    def read_items(self, request: Request, model: type[Model]) -> Flow[list[Model]]:
        """The answer of a collection that comes in one piece."""
        response = yield from self.send(request)
        return [self.validated(item, model) for item in self.json(response)["items"]]

    def send(self, request: Request) -> Flow[httpx2.Response]:
        """The response, once it is one of success.

        Raises:
            ProblemError, ServiceUnreachable, UnexpectedAnswer
        """
        response = yield from self.exchange(request)
        if not response.is_success:
            raise self.problem(response)
        return response

    def ask(self, request: Request) -> Flow[httpx2.Response]:
        """The response, whatever its status; sent once. Raises ServiceUnreachable."""
        try:
            response: httpx2.Response = yield request
        except httpx2.TransportError as error:
            raise ServiceUnreachable(self.base_url, _reason(error)) from error
        self._reached = True
        return response

    def exchange(self, request: Request) -> Flow[httpx2.Response]:
        """The response, whatever its status; of failures that pass, the last, once the request was sent again often enough."""
        began, waited, attempt = time.monotonic(), 0.0, 0
        while True:
            after: float | None = None
            spent = max(waited, time.monotonic() - began)
            try:
                response: httpx2.Response = yield request
            except httpx2.TransportError as error:
                if not self._may_send_again(request, error) or not self._goes_on(request.patient, attempt, spent):
                    raise ServiceUnreachable(self.base_url, _reason(error)) from error
            else:
                self._reached = True
                patient = request.patient or (request.waits_for_room and _has_no_room(response))
                if not _passes(request, response) or not self._goes_on(patient, attempt, spent):
                    return response
                after = retry_after_seconds(response)
            pause = min(_pause(attempt) if after is None else after, _LONGEST_RETRY_AFTER_SECONDS)
            yield Pause(pause)
            waited, attempt = waited + pause, attempt + 1

    def poll(
        self,
        request: Request,
        model: type[Model],
        done: Callable[[Model], bool],
        progress: Callable[[Model], object] | None,
        timeout: float | None,
    ) -> Flow[Model]:
        """The answer once it is `done`; asked for as often as the service says.

        Raises:
            WaitedTooLong: it was not after `timeout` seconds.
        """
        began, waited = time.monotonic(), 0.0
        while True:
            response = yield from self.send(request)
            answer = self.parsed(response, model)
            if progress:
                progress(answer)
            if done(answer):
                return answer
            pause = retry_after_seconds(response) or 1.0
            if timeout is not None and max(waited, time.monotonic() - began) + pause > timeout:
                raise WaitedTooLong(f"{request.path} has not ended after {timeout:g} seconds. It goes on.", answer)
            yield Pause(pause)
            waited += pause

    def page(self, listing: Listing[Model], cursor: str | None) -> Flow[tuple[list[Model], str | None]]:
        """The items of the page that begins at a cursor, and the cursor of the next; None after the last."""
        params = {"limit": PAGE_SIZE, **listing.params, "cursor": cursor}
        page = self.json(
            (yield from self.send(Request(method="GET", path=listing.path, params=params, patient=listing.patient)))
        )
        return [self.validated(item, listing.model) for item in page["items"]], page["next_cursor"]

    def parsed(self, response: httpx2.Response, model: type[Model]) -> Model:
        """The answer as `model`; raises UnexpectedAnswer."""
        return self.validated(self.json(response), model)

    def validated(self, document: Any, model: type[Model]) -> Model:
        """A part of an answer as `model`; raises UnexpectedAnswer."""
        try:
            return model.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the answer"
            what = f"{where} that this client cannot read ({first['msg']}); it may be of another version"
            raise UnexpectedAnswer(self.base_url, what) from error

    def json(self, response: httpx2.Response) -> Any:
        """The JSON of an answer; raises UnexpectedAnswer."""
        try:
            return response.json()
        except ValueError as error:
            kind = response.headers.get("Content-Type", "no content type")
            raise UnexpectedAnswer(self.base_url, f"{kind} where JSON belongs") from error

    def problem(self, response: httpx2.Response) -> ClientError:
        """The error that an answer describes."""
        document = {"status": response.status_code, "detail": response.text[:200]}
        if "json" in response.headers.get("Content-Type", ""):
            document = {"status": response.status_code, **self.json(response)}
        return ProblemError.from_document(document, retry_after_seconds=retry_after_seconds(response))

    def _may_send_again(self, request: Request, error: httpx2.TransportError) -> bool:
        never_there = not self._reached and isinstance(error, httpx2.ConnectError)
        if never_there:
            return request.even_at_first
        return request.repeatable or isinstance(error, httpx2.ConnectError)

    def _goes_on(self, patient: bool, attempt: int, spent: float) -> bool:
        if patient:
            return spent < self.patience_seconds
        return attempt < self.max_retries


def _address(url: str) -> httpx2.URL:
    what = f"{url!r} is no address of a service"
    try:
        found = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise ClientError(f"{what}: {error}. Example: {DEFAULT_URL}") from error
    if found.scheme not in ("http", "https") or not found.host:
        raise ClientError(f"{what}: it begins with http:// or https://. Example: {DEFAULT_URL}")
    return found


def path_of(*parts: str) -> str:
    """A path of these parts, quoted: a name with a slash in it cannot lead elsewhere."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def get(*parts: str, **params: str | int | float | bool | None) -> Request:
    """A request for what is at a path."""
    return Request(method="GET", path=path_of(*parts), params=params)


def once() -> dict[str, str]:
    """The header that keeps a request from being carried out twice, however often it is sent."""
    return {"Idempotency-Key": secrets.token_hex(16)}


def retry_after_seconds(response: httpx2.Response) -> float | None:
    """What the service asks for; None if it does not."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else None


def given(params: Query) -> dict[str, str | int | float | bool]:
    """Those that are not None."""
    return {name: value for name, value in params.items() if value is not None}


async def in_turn(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks for an asynchronous transport; each is read from the disk as it is taken."""
    for chunk in chunks:
        yield chunk


def _pause(attempt: int) -> float:
    """Doubles with each attempt; a part of it is chance, so that many clients do not come back at once."""
    longest = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
    return float(longest * random.uniform(0.5, 1))  # noqa: S311  # nosec B311


def _passes(request: Request, response: httpx2.Response) -> bool:
    if response.status_code == HTTPStatus.CONFLICT:
        # Something is made first, which is worth waiting for; or the request whose answer was lost is still carried out.
        return _is_in_flight(response) or (request.patient and retry_after_seconds(response) is not None)
    return response.status_code in (_PASSING if request.repeatable else _REFUSED)


def _has_no_room(response: httpx2.Response) -> bool:
    return response.status_code == HTTPStatus.TOO_MANY_REQUESTS


def _is_in_flight(response: httpx2.Response) -> bool:
    try:
        document = response.json()
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("code") == "in-flight"


def _reason(error: httpx2.TransportError) -> str:
    # It stands inside a sentence.
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)).rstrip(".") or type(error).__name__
