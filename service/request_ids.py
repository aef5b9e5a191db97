"""A name for every request: in its answer's header, and in every line that is logged on its behalf."""

import random
import re

import structlog
from starlette.types import Message, Scope, Send

from service.request_headers import headers_of

HEADER = "x-request-id"
_ENTRY = HEADER.encode()
# Names are to differ, not to be secret; each from the operating system would take longer than all else about a request's headers.
_NAMES = random.Random()  # noqa: S311  # nosec B311
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def named(scope: Scope, send: Send) -> Send:
    """`send` for this request, with its name in the answer.

    Around everything else: what answers an unforeseen error stands outside of all middleware.
    """
    entry = name_request(headers_of(scope).get(HEADER))

    async def answering(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], entry]}
        await send(message)

    return answering


def name_request(given: str | None) -> tuple[bytes, bytes]:
    """Name the request that is being answered; returns the header to answer with.

    Args:
        given: the caller's own name for it, which is taken where it is well formed.
    """
    id = given if given and _WELL_FORMED.fullmatch(given) else f"{_NAMES.getrandbits(64):016x}"
    # Every request has a context of its own, which ends with it.
    structlog.contextvars.bind_contextvars(request_id=id)
    return _ENTRY, id.encode()
