"""Errors that no route expects: a 500, as a problem or a page."""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import answer_to


class Unforeseen:
    """ASGI middleware: answers them, logged. The framework's own place for that is outside of all middleware, and so of headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception as error:
            if started:
                raise  # too late: the server ends the connection
            await answer_to(Request(scope), error)(scope, receive, send)
