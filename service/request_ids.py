"""A name for every request: in its answer's header, and in every line that is logged on its behalf."""

import re
import secrets

import structlog
from starlette.types import Message, Scope, Send

_HEADER = b"x-request-id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def named(scope: Scope, send: Send) -> Send:
    """`send` for this request, with its name in the answer; the caller's own name for it where that is well formed.

    Around everything else: what answers an unforeseen error stands outside of all middleware.
    """
    id = _given(scope) or secrets.token_hex(8).encode()
    # Every request has a context of its own, which ends with it.
    structlog.contextvars.bind_contextvars(request_id=id.decode())
    entry = (_HEADER, id)

    async def answering(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], entry]}
        await send(message)

    return answering


def _given(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == _HEADER:
            return value if _WELL_FORMED.fullmatch(value) else None
    return None
