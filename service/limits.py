"""How long a request body may be, and that it comes as it is. FastAPI's own `max_body_size` answers in plain text; this answers
with a problem.
"""

import asyncio
from collections.abc import Callable, Mapping

from fastapi import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noisegate.store.settings import Settings
from service import bodies
from service.bodies import declared_bytes, essence
from service.errors import UnreadCoding, answer_to, path_of, speaks_protocol
from service.request_headers import headers_of

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
                return _of_upload(settings, essence(headers_of(scope).get("content-type", "")))
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
        headers, limit = headers_of(scope), self.limit(scope)
        try:
            check_declared(scope, headers, limit)
        except (HTTPException, UnreadCoding) as error:
            await answer_to(Request(scope), error)(scope, receive, send)
            return
        await self.app(scope, limited(receive, headers, limit, self.seconds), send)


def check_declared(scope: Scope, headers: Mapping[str, str], limit: int) -> None:
    """What headers say of a body.

    Raises:
        UnreadCoding: it is compressed, which would be taken for something else.
        HTTPException: it is longer than `limit`.
    """
    coding = headers.get("content-encoding", "").strip().lower()
    if coding not in AS_IT_IS and not speaks_protocol(scope):
        raise UnreadCoding(coding, "identity")
    if declared_bytes(headers) > limit:
        raise over(limit)


def limited(receive: Receive, headers: Mapping[str, str], limit: int, seconds: float) -> Receive:
    """The same messages; each part of a body has to come in time, and all of them may not be longer than `limit`.

    What comes after a body, a client that leaves, has all time.
    """
    # Of a declared body the server reads no further than that.
    counts = not declared_bytes(headers) or "transfer-encoding" in headers
    received, whole = 0, False

    async def part() -> Message:
        nonlocal received, whole
        if whole:
            return await receive()
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, f"nothing of the body came for {seconds:g} seconds") from error
        whole = not message.get("more_body", False)
        received += len(message.get("body", b""))
        if counts and received > limit:
            # Not TooLarge: FastAPI lets only its own exceptions pass when it reads a body.
            raise over(limit)
        return message

    return part


def over(limit: int) -> HTTPException:
    """The error for a body that is longer than that."""
    return HTTPException(413, f"the body is over this server's limit of {limit:,} bytes here")
