"""The body of a request: JSON, or JSON and what lies behind it (the binary tensor extension); inflated if it came compressed."""

from dataclasses import dataclass
from functools import partial

from starlette.requests import Request

from service.bodies import JSON, content_type_of, unsupported
from service.classify.models import Classifiers
from service.errors import Malformed
from service.inflating import inflated

OCTETS = "application/octet-stream"
# The length of the JSON, in requests and answers.
HEADER_LENGTH = "Inference-Header-Content-Length"
_DIGITS = 20


@dataclass(frozen=True)
class SentBody:
    """A body in its parts.

    Attributes:
        document: the JSON; empty for a raw request, whose body is nothing but the tensor.
        binary: what lies behind the JSON; None if nothing can.
    """

    document: bytes
    binary: bytes | None = None


async def body_of(request: Request, classifiers: Classifiers, most: int) -> SentBody:
    """The body, of at most so many bytes once it is inflated.

    Raises:
        UnsupportedMedia: it is said to be neither JSON nor bytes, or compressed in a way that is not read. To say nothing is well:
            tritonclient does. Bytes without the length of a header are JSON: its asynchronous half says so.
        Malformed: its parts are not as long as they are said to be, or it is not what its encoding says.
    """
    if (sent := content_type_of(request)) not in ("", JSON, OCTETS):
        raise unsupported(sent, [JSON, OCTETS])
    body = await request.body()
    if coding := request.headers.get("content-encoding"):
        body = await classifiers.compute(partial(inflated, body, coding, most))
    return _divided(body, request.headers.get(HEADER_LENGTH))


def _divided(body: bytes, length: str | None) -> SentBody:
    if length is None:
        return SentBody(body)
    # Of more digits Python makes no number.
    if not (length.isascii() and length.isdecimal() and len(length) < _DIGITS and int(length) <= len(body)):
        detail = f"{HEADER_LENGTH} is {length[:20]!r}, and the body has {len(body):,} bytes"
        raise Malformed(detail, field=HEADER_LENGTH, remedy="Send the length of the JSON before the binary tensors.")
    end = int(length)
    return SentBody(body[:end], body[end:])
