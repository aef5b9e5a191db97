"""How long a request body may be, and that it comes as it is. FastAPI's own `max_body_size` answers in plain text; this answers
with a problem.
"""

import asyncio
from collections.abc import Callable

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noisegate.store.settings import Settings
from service import bodies
from service.bodies import declared_bytes, essence
from service.errors import UnreadCoding, answer_to, path_of, speaks_protocol

# Boundaries, part headers and JSON punctuation around the bytes that the settings limit.
ENVELOPE_BYTES = 64 * 1024
# Base64 makes four bytes of three, and may be wrapped in lines.
BASE64_GROWTH = 1.4
# A Content-Encoding that says nothing.
AS_IT_IS = ("", "identity")


def limit_of_body(settings: Settings) -> Callable[[Scope], int]:
    """A function from a request's scope to the most bytes its body may have."""

    def limit(scope: Scope) -> int:
        path = path_of(scope)
        match scope["method"], path:
            case "POST", "/classify":
                return int(settings.max_image_bytes * BASE64_GROWTH) + ENVELOPE_BYTES
            case "POST", "/classify/batch":
                return settings.max_batch_bytes
            case "POST", "/hybrids":
                return int(2 * settings.max_image_bytes * BASE64_GROWTH) + ENVELOPE_BYTES
            case "POST", "/datasets":
                return _of_upload(settings, essence(Headers(scope=scope).get("content-type", "")))
            case "POST", _ if path.startswith("/v2/"):
                return settings.max_tensor_bytes
            case _:
                return settings.max_json_bytes

    return limit


def _of_upload(settings: Settings, content_type: str) -> int:
    match content_type:
        case bodies.MULTIPART:
            return settings.max_upload_bytes + ENVELOPE_BYTES
        case bodies.JSON:
            return settings.max_json_bytes
        case _:
            return settings.max_upload_bytes


class BodyLimit:
    """ASGI middleware: refuses a body that is over its limit, by Content-Length at once, else when it gets there. And one that is
    compressed, which would be taken for something else; the Open Inference Protocol's routes read those.

    Args:
        seconds: a body of which nothing comes for so long is refused, too.
    """

    def __init__(self, app: ASGIApp, limit: Callable[[Scope], int], seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limit(scope)
        headers = Headers(scope=scope)
        coding = headers.get("content-encoding", "").strip().lower()
        if coding not in AS_IT_IS and not speaks_protocol(scope):
            await answer_to(Request(scope), UnreadCoding(coding, "identity"))(scope, receive, send)
            return
        declared = declared_bytes(headers)
        if declared > limit:
            await answer_to(Request(scope), over(limit))(scope, receive, send)
            return
        receive = _timed(receive, self.seconds)
        if declared and "transfer-encoding" not in headers:
            # The server reads no further than that.
            await self.app(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                # Not TooLarge: FastAPI lets only its own exceptions pass when it reads a body.
                raise over(limit)
            return message

        await self.app(scope, counted, send)


def _timed(receive: Receive, seconds: float) -> Receive:
    """The same messages; each part of a body has to come in time. What comes after it, a client that leaves, has all time."""
    whole = False

    async def timed() -> Message:
        nonlocal whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, f"nothing of the body came for {seconds:g} seconds") from error
        whole = not message.get("more_body", False)
        return message

    return timed


def over(limit: int) -> HTTPException:
    """The error for a body that is longer than that."""
    return HTTPException(413, f"the body is over this server's limit of {limit:,} bytes here")
