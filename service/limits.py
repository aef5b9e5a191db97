"""How long a request body may be, and that it comes as it is. FastAPI's own `max_body_size` answers in plain text; this answers
with a problem.
"""

import asyncio
from collections.abc import Callable

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noisegate.errors import UnsupportedMedia
from noisegate.store.settings import Settings
from service import bodies
from service.bodies import declared_bytes, essence
from service.errors import problem_of, problem_response

# Boundaries, part headers and JSON punctuation around the bytes that the settings limit.
ENVELOPE_BYTES = 64 * 1024
# Base64 makes four bytes of three, and may be wrapped in lines.
BASE64_GROWTH = 1.4
# A Content-Encoding that says nothing.
_AS_IT_IS = ("", "identity")


def limit_of_body(settings: Settings) -> Callable[[Scope], int]:
    """A function from a request's scope to the most bytes its body may have."""

    def limit(scope: Scope) -> int:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
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
    compressed, which would be taken for something else.

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
        if coding not in _AS_IT_IS and not _speaks_protocol(scope):
            await problem_response(problem_of(_coded(coding)), {"Accept-Encoding": "identity"})(scope, receive, send)
            return
        declared = declared_bytes(headers)
        if declared > limit:
            await problem_response(problem_of(_over(limit)))(scope, receive, send)
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
                raise _over(limit)
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


def _speaks_protocol(scope: Scope) -> bool:
    """Whether it is for the Open Inference Protocol, whose refusals have a member more and are written there."""
    return bool(scope["path"].removeprefix(scope.get("root_path", "")).startswith("/v2/"))


def _coded(coding: str) -> UnsupportedMedia:
    detail = f"the body is said to be {coding}, and bodies are read as they come"
    return UnsupportedMedia(detail, remedy="Send it uncompressed, without Content-Encoding.")


def _over(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is over this server's limit of {limit:,} bytes here")
