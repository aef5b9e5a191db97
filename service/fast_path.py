"""One endpoint without the layers around a FastAPI route, which take longer than decoding a small image and deciding on it.

The endpoint reads its request itself, and stands in a router too: what the document is made of. Limits, metrics and the shape of
errors are the same on both ways.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import answer_to

Endpoint = Callable[[Request], Awaitable[Response]]


class FastPath:
    """An ASGI application of one endpoint."""

    def __init__(self, method: str, path: str, endpoint: Endpoint, wrapped: Callable[[ASGIApp], ASGIApp]) -> None:
        """
        Args:
            wrapped: puts around the endpoint what shall be around it.
        """
        self.method = method
        self.path = path
        self._endpoint = endpoint
        self._app = wrapped(self._answer)

    def takes(self, scope: Scope) -> bool:
        """Whether this is a request for the endpoint."""
        if scope["type"] != "http":
            return False
        path: str = scope.get("root_path", "") + self.path
        return bool(scope["path"] == path and scope["method"] == self.method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # By this name metrics know a route.
        scope["route"] = self
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await self._endpoint(request)
        except Exception as error:
            response = answer_to(request, error)
        await response(scope, receive, send)
