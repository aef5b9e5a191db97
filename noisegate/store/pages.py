"""Cursor pages: the cursor is opaque to callers, and stands for the last id they saw."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from noisegate.errors import InvalidInput

Row = TypeVar("Row")


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and the cursor of the next page; None on the last."""

    items: Sequence[Row]
    next_cursor: str | None


def page_of(
    session: Session, query: sa.Select[Any], key: InstrumentedAttribute[str], *, cursor: str | None, limit: int
) -> Page[Any]:
    """At most `limit` rows of `query`, newest first, after `cursor`. `key` is the id column.

    Raises:
        InvalidInput: the cursor is not one of ours.
    """
    if cursor is not None:
        query = query.where(key < _decoded(cursor))
    rows = session.scalars(query.order_by(key.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    last = getattr(rows[limit - 1], key.key) if more else None
    return Page(rows[:limit], _encoded(last) if last else None)


def _encoded(id: str) -> str:
    return base64.urlsafe_b64encode(f"1:{id}".encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        version, _, id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
    except (binascii.Error, UnicodeError, ValueError) as error:
        raise _unknown(cursor) from error
    if version != "1" or not id:
        raise _unknown(cursor)
    return id


def _unknown(cursor: str) -> InvalidInput:
    remedy = "Use next_cursor of the page before, or leave it out for the first page."
    return InvalidInput(f"{cursor[:80]!r} is no cursor of this server", field="cursor", remedy=remedy)
