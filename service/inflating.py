"""Compressed bodies, inflated within a limit: what would grow beyond it is given up on the way."""

import zlib
from collections.abc import Callable

from service.errors import Malformed, UnreadCoding
from service.limits import AS_IT_IS, over

_PIECE = 256 * 1024
# gzip may be several members, one after another. What follows each is copied, so that thousands of empty ones would cost minutes.
_MOST_MEMBERS = 16
_GZIP, _ZLIB, _BARE = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
ACCEPTED = "gzip, deflate, identity"


def inflated(body: bytes, coding: str, most: int) -> bytes:
    """The body behind a Content-Encoding.

    Raises:
        UnreadCoding: it is neither gzip nor deflate.
        Malformed: it is not what it is said to be, or not all of it.
        HTTPException: it is longer than `most` bytes; no more than that was inflated.
    """
    coding = coding.strip().lower()
    if coding in AS_IT_IS:
        return body
    if (begin := _BEGINNINGS.get(coding)) is None:
        raise UnreadCoding(coding, ACCEPTED)
    try:
        return _whole(body, begin(body), most)
    except zlib.error as error:
        raise Malformed(f"the body is not what its Content-Encoding says, {coding}: {error}") from error


def _whole(body: bytes, wbits: int, most: int) -> bytes:
    found, rest = bytearray(), body
    for _ in range(_MOST_MEMBERS):
        rest = _inflate_into(found, zlib.decompressobj(wbits), rest, most)
        if not rest:
            return bytes(found)
        if wbits != _GZIP:
            raise Malformed("something follows the end of the compressed body")
    raise Malformed(f"the compressed body has more than {_MOST_MEMBERS} members of gzip")


def _inflate_into(found: bytearray, inflating: "zlib._Decompress", rest: bytes, most: int) -> bytes:
    """Add what one stream holds; returns what follows it."""
    while not inflating.eof:
        piece = inflating.decompress(rest, min(_PIECE, most + 1 - len(found)))
        if not (piece or rest):
            raise Malformed("the compressed body ends before its end")
        found += piece
        if len(found) > most:
            raise over(most)
        rest = inflating.unconsumed_tail
    return inflating.unused_data


def _of_deflate(body: bytes) -> int:
    """What HTTP calls deflate has zlib's header; some clients leave it out."""
    return _ZLIB if len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0 else _BARE


def _of_gzip(_body: bytes) -> int:
    return _GZIP


_BEGINNINGS: dict[str, Callable[[bytes], int]] = {"gzip": _of_gzip, "x-gzip": _of_gzip, "deflate": _of_deflate}
