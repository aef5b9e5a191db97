"""Reading request bodies whose kind the Content-Type tells."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from noisegate.errors import InvalidInput, UnsupportedMedia
from service.request_headers import headers_of

JSON = "application/json"
MULTIPART = "multipart/form-data"

# There is a colon before the value of each. Images are base64, which has none.
_MOST_MEMBERS = 1_000

Document = TypeVar("Document", bound=BaseModel)


def essence(content_type: str) -> str:
    """A Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def content_type_of(request: Request) -> str:
    """The request's Content-Type without its parameters; empty if it has none."""
    return essence(headers_of(request.scope).get("content-type", ""))


def declared_bytes(headers: Mapping[str, str]) -> int:
    """The Content-Length; 0 without one, as for a body sent in chunks."""
    declared = headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else 0


def unsupported(content_type: str, accepted: Iterable[str]) -> UnsupportedMedia:
    """The error for a content type that is not among `accepted`."""
    sent = f"{content_type!r} is" if content_type else "a body without a Content-Type is"
    listed = ", ".join(accepted)
    return UnsupportedMedia(f"{sent} not read here; accepted are {listed}", remedy=f"Set Content-Type to: {listed}.")


async def whole_body(request: Request) -> bytes:
    """The body: as `Request.body`, which is not to be called then.

    Raises:
        ClientDisconnect: it has no end.
    """
    parts = []
    while (message := await request.receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
    raise ClientDisconnect


async def require_json(request: Request) -> None:
    """A dependency of routes whose body is JSON.

    Raises:
        UnsupportedMedia: the body is said to be something else.
    """
    if (sent := content_type_of(request)) != JSON:
        raise unsupported(sent, [JSON])


def parse_json(body: bytes, document: type[Document]) -> Document:
    """The document in a JSON body.

    Raises:
        InvalidInput: it has far more members than any document here: each would be an error of its own.
        RequestValidationError: no JSON, or fields that are wrong; answered as if FastAPI had read the body.
    """
    if body.count(b":") > _MOST_MEMBERS:
        raise InvalidInput(
            f"the body has more than {_MOST_MEMBERS:,} members", remedy="Send only those that are documented."
        )
    try:
        return document.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
