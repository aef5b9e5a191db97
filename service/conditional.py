"""Answers that a client may keep: tagged by their bytes, and 304 to those who have them already (RFC 9110, section 13.1.2)."""

import hashlib
import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TAG = re.compile(r'"[^"]*"')
# They describe a body, and a 304 has none.
_OF_THE_BODY = ("content-length", "content-type")

_ETAG = {
    "description": "Changes with the answer; send it as If-None-Match to be told so.",
    "schema": {"type": "string"},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "ETags seen before, or *: an answer that has not changed is a 304 without a body.",
    "schema": {"type": "string"},
}
_FILE = "application/octet-stream"  # brings an ETag of its own


class ConditionalGet:
    """ASGI middleware: tags every 200 to a GET that comes in one piece and has no ETag of its own, or answers 304."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        known = ",".join(Headers(scope=scope).getlist("if-none-match"))
        held: Message | None = None

        async def tagged(message: Message) -> None:
            nonlocal held
            if _is_whole(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                start, message = _tagged(start, message, known)
                await send(start)
            await send(message)

        await self.app(scope, receive, tagged)


def has_it_already(known: str, etag: str) -> bool:
    """Whether a caller has the answer with this ETag; `known` is what If-None-Match says, empty without it."""
    return known.strip() == "*" or etag in _TAG.findall(known)


def describe(document: dict[str, Any]) -> None:
    """Enter in an OpenAPI document what the middleware does to each GET."""
    for operations in document["paths"].values():
        operation = operations.get("get")
        if operation is None or _FILE in operation["responses"]["200"].get("content", {}):
            continue
        operation["responses"]["200"].setdefault("headers", {})["ETag"] = _ETAG
        operation["responses"]["304"] = {"description": "Not changed since the ETag sent", "headers": {"ETag": _ETAG}}
        operation.setdefault("parameters", []).append(_IF_NONE_MATCH)


def _is_whole(message: Message) -> bool:
    """Whether an answer begins here that comes in one piece and has no tag yet."""
    if message["type"] != "http.response.start" or message["status"] != 200:
        return False
    headers = Headers(raw=message["headers"])
    return "content-length" in headers and "etag" not in headers


def _tagged(start: Message, body: Message, known: str) -> tuple[Message, Message]:
    if body.get("more_body", False):
        return start, body
    etag = f'"{hashlib.sha256(body.get("body", b"")).hexdigest()}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["ETag"] = etag
    # Keep it, but ask each time: unless a route knows better, the next answer may be another.
    headers.setdefault("Cache-Control", "no-cache")
    if not has_it_already(known, etag):
        return {**start, "headers": headers.raw}, body
    for name in _OF_THE_BODY:
        del headers[name]
    return {**start, "status": 304, "headers": headers.raw}, {**body, "body": b""}
