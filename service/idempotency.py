"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a request that is carried out once, however often it is sent.

A route that creates something hands its work to `Once`, which opens the transaction, so that what is created and the answer
to it are committed together.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header, Request, Response
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from noisegate.errors import InvalidInput
from noisegate.store import idempotency
from noisegate.store.idempotency import Keyed, Reservation, StoredAnswer
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.access import caller_of
from service.bodies import JSON, content_type_of
from service.transactions import twice

# A request that is still being carried out after this long was probably lost with its process.
LEASE_SECONDS = 30.0

# As it is, or as a string of RFC 8941: in quotes, with \ before a quote or another \. The same key in either form.
_KEY = r'^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$'

REPLAYED: dict[str, Any] = {
    "Idempotent-Replayed": {
        "description": "`true` if this is the answer that an earlier request with this key got.",
        "schema": {"type": "string", "const": "true"},
    }
}

_YES = TypeAdapter(bool)

Work = Callable[[Session], StoredAnswer]


def _unquoted(key: str) -> str:
    if not re.fullmatch(_KEY, key):
        raise ValueError("must be 1 to 255 visible ASCII characters, bare or as a quoted string")
    return re.sub(r"\\(.)", r"\1", key[1:-1]) if key.startswith('"') else key


IdempotencyKeyHeader = Annotated[
    Annotated[str, AfterValidator(_unquoted), Field(json_schema_extra={"pattern": _KEY})] | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of yours, for example a UUID. Sent again with it, this request gets the first answer again "
        "and nothing is done twice. A request that failed is forgotten, and may be sent again, corrected or not.",
    ),
]


async def refuse_key_of_dry_run(request: Request) -> None:
    """A dependency of every route. A dry run keeps nothing, so there is no first answer to be given again.

    Raises:
        InvalidInput: a dry run was asked for with an Idempotency-Key.
    """
    if "idempotency-key" in request.headers and _is_true(request.query_params.get("dry_run", "false")):
        detail = "is given with dry_run, which does nothing that could be done twice"
        remedy = "Leave the header out; or leave dry_run out, and the request is carried out once."
        raise InvalidInput(detail, field="Idempotency-Key", remedy=remedy)


def _is_true(value: str) -> bool:
    try:
        return _YES.validate_python(value)
    except ValidationError:
        return False  # the route refuses it


@dataclass(frozen=True)
class Once:
    """Carries a request out, once if it has a key."""

    sessions: Sessions
    settings: Settings
    request: Keyed | None

    def answer(self, work: Work) -> Response:
        """What `work` answers, or what it answered the first time.

        Args:
            work: is called within a transaction, and again in another one if a conflicting transaction came between.

        Raises:
            KeyReused: the key was sent with another request.
            InFlight: the same request is being carried out.
        """
        if self.request is None:
            return _response(self._done(work, None))
        found = self._reserved(self.request)
        if isinstance(found, StoredAnswer):
            return _response(found, replayed=True)
        try:
            return _response(self._done(work, found))
        except Exception:
            self._release(found)
            raise

    def _reserved(self, request: Keyed) -> Reservation | StoredAnswer:
        keep = self.settings.idempotency_seconds
        with self.sessions.begin() as session:
            return idempotency.reserve(session, request, lease_seconds=LEASE_SECONDS, keep_seconds=keep)

    def _done(self, work: Work, reservation: Reservation | None) -> StoredAnswer:
        def answered(session: Session) -> StoredAnswer:
            stored = work(session)
            if reservation is not None:
                idempotency.answer(session, reservation, stored)
            return stored

        return twice(self.sessions, answered)

    def _release(self, reservation: Reservation) -> None:
        # A database that is away keeps the reservation, which runs out.
        with contextlib.suppress(SQLAlchemyError), self.sessions.begin() as session:
            idempotency.release(session, reservation)


def keyed(request: Request, key: str | None, body_digest: str) -> Keyed | None:
    """The request with its key, if it has one; `body_digest` is the SHA-256 of what stands in its body."""
    if key is None:
        return None
    asked = "\n".join([request.url.query, content_type_of(request), body_digest])
    # Of each owner its own: the answer to one must not be told another.
    scope = f"{caller_of(request.scope).owner} {request.method} {request.url.path}".strip()
    return Keyed(scope, key, hashlib.sha256(f"{scope}\n{asked}".encode()).hexdigest())


def _response(stored: StoredAnswer, *, replayed: bool = False) -> Response:
    headers = stored.headers | ({"Idempotent-Replayed": "true"} if replayed else {})
    return Response(stored.body, stored.status, headers, JSON)
