"""One endpoint without the layers around a FastAPI route, which take longer than decoding a small image and deciding on it.

The endpoint reads its request itself, and stands in a router too: what the document is made of. On both ways the same functions
check, limit, measure and name a request; here they are called one after the other, there middleware calls them.
"""

import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from noisegate.store.settings import Settings
from service.access import let_in
from service.cors import for_websites
from service.errors import answer_to
from service.guard import Door, security_headers
from service.limits import check_declared, limit_of_body, limited
from service.measuring import count
from service.request_headers import headers_of
from service.request_ids import HEADER, name_request

Endpoint = Callable[[Request], Awaitable[Response]]


class FastPath:
    """An ASGI application of one endpoint, which answers no HEAD."""

    def __init__(self, method: str, path: str, endpoint: Endpoint, door: Door, settings: Settings) -> None:
        self.method = method
        self.path = path
        self._endpoint = endpoint
        self._door = door
        self._limit = limit_of_body(settings)
        self._seconds = settings.body_seconds
        self._added = security_headers(path)
        self._app = for_websites(self._answer, settings)

    def takes(self, scope: Scope) -> bool:
        """Whether this is a request for the endpoint."""
        path: str = scope["path"]
        return scope["method"] == self.method and path.removeprefix(scope.get("root_path", "")) == self.path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # By this name metrics know a route.
        scope["route"] = self
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status = time.perf_counter(), 500
        try:
            headers = headers_of(scope)
            entry = name_request(headers.get(HEADER))
            response = await self._response(scope, receive, headers)
            status = response.status_code
            response.raw_headers += (*self._added, entry)
            await response(scope, receive, send)
        finally:
            count(scope, status, time.perf_counter() - started)

    async def _response(self, scope: Scope, receive: Receive, headers: Mapping[str, str]) -> Response:
        try:
            let_in(scope, await self._door.admit(scope, self.path, headers))
            limit = self._limit(scope)
            check_declared(scope, headers, limit)
            return await self._endpoint(Request(scope, limited(receive, headers, limit, self._seconds)))
        except Exception as error:
            return answer_to(Request(scope), error)
