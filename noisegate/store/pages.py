"""Cursor pages: the cursor is opaque to callers, and stands for the last id they saw of what they had asked for."""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from noisegate.errors import InvalidInput

Row = TypeVar("Row")

_VERSION = "2"


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and the cursor of the next page; None on the last."""

    items: Sequence[Row]
    next_cursor: str | None


def page_of(
    session: Session,
    query: sa.Select[Any],
    key: InstrumentedAttribute[str],
    *,
    filters: Mapping[str, str | None],
    cursor: str | None,
    limit: int,
) -> Page[Any]:
    """At most `limit` rows of `query`, newest first, after `cursor`.

    Args:
        key: the id column.
        filters: what the query was narrowed by. A cursor serves for the same rows narrowed in the same way only: among
            others it would skip some without a word.

    Raises:
        InvalidInput: the cursor is not one of ours, or not of these rows.
    """
    digest = _digest(key.class_.__tablename__, filters)
    if cursor is not None:
        query = query.where(key < _decoded(cursor, digest))
    rows = session.scalars(query.order_by(key.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    last = getattr(rows[limit - 1], key.key) if more else None
    return Page(rows[:limit], _encoded(digest, last) if last else None)


def named_page(
    names: Sequence[str], collection: str, *, filters: Mapping[str, str | None], cursor: str | None, limit: int
) -> Page[str]:
    """At most `limit` of these names, in their order, after `cursor`.

    Raises:
        InvalidInput: the cursor is not one of ours, or not of these names.
    """
    digest, start = _digest(collection, filters), 0
    if cursor is not None:
        last = _decoded(cursor, digest)
        if last not in names:
            raise _unusable("this cursor stands at a name that is gone")
        start = names.index(last) + 1
    page = names[start : start + limit]
    return Page(page, _encoded(digest, page[-1]) if start + limit < len(names) else None)


def _digest(collection: str, filters: Mapping[str, str | None]) -> str:
    return hashlib.sha256(json.dumps([collection, filters], sort_keys=True).encode()).hexdigest()[:16]


def _encoded(digest: str, id: str) -> str:
    return base64.urlsafe_b64encode(f"{_VERSION}:{digest}:{id}".encode()).decode().rstrip("=")


def _decoded(cursor: str, digest: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise _unusable(f"{cursor[:80]!r} is no cursor of this server") from error
    version, _, rest = text.partition(":")
    found, _, id = rest.partition(":")
    if version != _VERSION or not id:
        raise _unusable(f"{cursor[:80]!r} is no cursor of this server")
    if found != digest:
        raise _unusable("this cursor belongs to another collection, or to other filters")
    return id


def _unusable(detail: str) -> InvalidInput:
    remedy = "Use next_cursor of the page before with the filters of that page, or leave it out for the first page."
    return InvalidInput(detail, field="cursor", remedy=remedy)
