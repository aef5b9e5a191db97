"""Problems as pages: a browser gets a page in place of application/problem+json."""

import json
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.accepting import preferred
from service.access import known_caller
from service.errors import PROBLEM_JSON, path_of
from service.guide import PREFIX as GUIDE
from service.pages.frame import html

PREFIX = "/ui"
SIGN_IN = "/ui/sign-in"
_HTML = "text/html"
# They tell of the body that is replaced.
_OF_THE_BODY = (b"content-length", b"content-type")


class ProblemsAsPages:
    """ASGI middleware: below /ui and in the guide a problem becomes a page, and one of a missing key the way to the sign-in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _wants_page(scope):
            await self.app(scope, receive, send)
            return
        held: Message | None = None
        body = bytearray()

        async def sending(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_problem(message):
                held = message
                return
            if held is None:
                await send(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                await _page(Request(scope), held, json.loads(bytes(body)))(scope, receive, send)

        await self.app(scope, receive, sending)


def _wants_page(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    path = path_of(scope)
    if not any(path == pages or path.startswith(f"{pages}/") for pages in (PREFIX, GUIDE)):
        return False
    return preferred(Request(scope), [PROBLEM_JSON, _HTML]) == _HTML


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").startswith(PROBLEM_JSON)


def _page(request: Request, start: Message, problem: dict[str, Any]) -> Response:
    status: int = start["status"]
    root = request.scope.get("root_path", "")
    if status == 401 and request.method == "GET":
        here = quote(path_of(request.scope), safe="/")
        return RedirectResponse(f"{root}{SIGN_IN}?next={here}", 303)
    response = html(request, known_caller(request.scope), "problem.html", status=status, problem=problem)
    kept = [entry for entry in start["headers"] if entry[0].lower() not in _OF_THE_BODY]
    response.raw_headers.extend(kept)
    return response
