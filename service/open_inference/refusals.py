"""Problems as everywhere, with the member `error` that the protocol asks for: its clients show nothing else."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from service.errors import PROBLEM_JSON, problems

_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string", "description": "`detail` and `remedy`, for clients of the protocol."}},
}
# A body that says it is too long is refused before a route is found for it.
_WITHOUT_ERROR = 413


class ProtocolRoute(APIRoute):
    """A route whose problems have an `error`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler; what it raises is answered here, by the application's own handler, and not passed on."""
        handler = super().get_route_handler()

        async def answering(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:
                return _with_error(await request.app.exception_handlers[Exception](request, error))

        return answering


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries for answers with these statuses, and for those that every route may give."""
    documented = problems(*statuses, 500, 503)
    for status, answer in documented.items():
        if status != _WITHOUT_ERROR:
            content = answer["content"][PROBLEM_JSON]
            content["schema"] = {"allOf": [content["schema"], _ERROR]}
    return documented


def _with_error(refused: Response) -> Response:
    problem = json.loads(bytes(refused.body))
    error = f"{problem['detail']}. {problem['remedy']}" if problem["remedy"] else problem["detail"]
    headers = {name: value for name, value in refused.headers.items() if name != "content-length"}
    return Response(json.dumps(problem | {"error": error}), refused.status_code, headers)
