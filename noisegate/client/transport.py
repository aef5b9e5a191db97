"""How the client speaks to a service: requests, answers that are problems, waiting, and pages."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2

from noisegate.api.answers import ExperimentAnswer
from noisegate.api.dataset_answers import DatasetAnswer
from noisegate.client.errors import ClientError, ProblemError, ServiceUnreachable, UnexpectedAnswer

DEFAULT_URL = "http://127.0.0.1:8000"
PAGE_SIZE = 100

# The service restarts, or its database is away: worth asking again.
_PASSING = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

Answer = TypeVar("Answer", DatasetAnswer, ExperimentAnswer)


class Transport:
    """One service. Every call raises ProblemError, ServiceUnreachable or UnexpectedAnswer; see `errors`.

    Args:
        base_url: address of the service.
        api_key: shown with every request; by default NOISEGATE_API_KEY of the environment, if that is set.
        timeout: seconds that connecting, and each read or write, may take.
        patience_seconds: how long `wait` and `wait_for_dataset` bear a service that does not answer.
        sleep: waits between two polls; one that raises ends the waiting.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        timeout: float = 30.0,
        *,
        api_key: str | None = None,
        patience_seconds: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        try:
            url = httpx2.URL(base_url)
        except httpx2.InvalidURL as error:
            raise ClientError(f"{base_url!r} is no address of a service: {error}. Example: {DEFAULT_URL}") from error
        self.base_url = base_url.rstrip("/")
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        # A proxy from the environment cannot reach this machine's own loopback address.
        key = os.environ.get("NOISEGATE_API_KEY", "") if api_key is None else api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(base_url=url, timeout=timeout, headers=headers, trust_env=url.host not in _LOOPBACK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all connections back."""
        self._http.close()

    def _when_there_is_room(self, method: str, path: str, **content: Any) -> httpx2.Response:
        gives_up_at = time.monotonic() + self._patience_seconds
        while True:
            response = self._exchange(method, path, **content)
            if response.status_code != HTTPStatus.TOO_MANY_REQUESTS or time.monotonic() >= gives_up_at:
                return self._checked(response)
            self._sleep(_retry_after_seconds(response))

    def _poll(self, path: str, done: Callable[[Answer], bool], on_progress: Callable[[Answer], None] | None) -> Answer:
        while True:
            response = self._persistently("GET", path, {}, at_first=True)
            answer: Answer = self._json(response)
            if on_progress:
                on_progress(answer)
            if done(answer):
                return answer
            self._sleep(_retry_after_seconds(response))

    def _persistently(self, method: str, path: str, content: Mapping[str, Any], *, at_first: bool) -> httpx2.Response:
        """Send, and again for `patience_seconds` as long as the service does not answer.

        Args:
            at_first: also if it could not even be reached the first time.
        """
        lost_at: float | None = None
        while True:
            try:
                return self._send(method, path, **content)
            except (ServiceUnreachable, ProblemError) as error:
                never_there = lost_at is None and isinstance(error.__cause__, httpx2.ConnectError)
                lost_at = time.monotonic() if lost_at is None else lost_at
                out_of_patience = time.monotonic() - lost_at >= self._patience_seconds
                if not _passes(error) or out_of_patience or (never_there and not at_first):
                    raise
                self._sleep(min(1.0, self._patience_seconds))

    def _pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        cursor: str | None = None
        while True:
            params: dict[str, str | int] = {**(query or {}), "limit": PAGE_SIZE}
            if cursor is not None:
                params["cursor"] = cursor
            page = self._json(self._send("GET", path, params=params))
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def _send(self, method: str, path: str, **content: Any) -> httpx2.Response:
        return self._checked(self._exchange(method, path, **content))

    def _checked(self, response: httpx2.Response) -> httpx2.Response:
        if not response.is_success:
            raise self._problem(response)
        return response

    def _exchange(self, method: str, path: str, **content: Any) -> httpx2.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx2.TransportError as error:
            raise ServiceUnreachable(self.base_url, _reason(error)) from error

    def _problem(self, response: httpx2.Response) -> ClientError:
        if "json" not in response.headers.get("Content-Type", ""):
            return ProblemError.from_document({"status": response.status_code, "detail": response.text[:200]})
        return ProblemError.from_document({"status": response.status_code, **self._json(response)})

    def _json(self, response: httpx2.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            kind = response.headers.get("Content-Type", "no content type")
            raise UnexpectedAnswer(self.base_url, f"{kind} where JSON belongs") from error


def path_of(*parts: str) -> str:
    # Quoted, so that a name with a slash in it cannot lead elsewhere.
    return "/" + "/".join(quote(part, safe="") for part in parts)


def _retry_after_seconds(response: httpx2.Response) -> float:
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else 1.0


def _reason(error: httpx2.TransportError) -> str:
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__


def _passes(error: ServiceUnreachable | ProblemError) -> bool:
    # In flight: the request whose answer was lost is still being carried out.
    return isinstance(error, ServiceUnreachable) or error.status in _PASSING or error.code == "in-flight"
