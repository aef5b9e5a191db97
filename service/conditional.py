"""Answers that a client may keep: tagged by their bytes, and 304 to whoever has them already (RFC 9110, section 13.1.2)."""

import hashlib

from starlette.responses import Response


def tagged(body: bytes, media_type: str, *, cache_control: str, if_none_match: str | None) -> Response:
    """The body with its ETag, or 304 without it if the caller's `If-None-Match` names that tag or is `*`."""
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": cache_control}
    if _matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def _matches(if_none_match: str | None, etag: str) -> bool:
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in known or "*" in known
