"""Requests that are carried out once, however often they are sent: a key is reserved, then answered or released.

A key is reserved in a transaction of its own. The answer is written in the transaction that does the work, and only by the
holder of the reservation: work and answer are committed together or not at all. A process killed in between leaves a
reservation that runs out, and since nothing was committed, the same request, sent again, may take it over.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from noisegate.errors import InvalidInput, NotReady
from noisegate.store.clock import seconds_now
from noisegate.store.ids import new_id
from noisegate.store.tables import IdempotencyKey

_RETRY_SECONDS = 1


class KeyReused(InvalidInput):
    """A key that was sent with another request."""

    code = "idempotency-key-reused"
    title = "The idempotency key belongs to another request"


class InFlight(NotReady):
    """A key whose request is being carried out."""

    code = "in-flight"
    title = "This request is being carried out"


@dataclass(frozen=True)
class Keyed:
    """A request with its key; equal fingerprints are equal requests."""

    scope: str
    key: str
    fingerprint: str


@dataclass(frozen=True)
class Reservation:
    """The right to carry a request out."""

    request: Keyed
    holder: str


@dataclass(frozen=True)
class StoredAnswer:
    """What the first request with a key was answered."""

    status: int
    headers: dict[str, str]
    body: str


def reserve(
    session: Session, request: Keyed, *, lease_seconds: float, keep_seconds: float
) -> Reservation | StoredAnswer:
    """The right to carry the request out, or the answer that it got before.

    Args:
        lease_seconds: after this long without an answer, another may carry it out.
        keep_seconds: after this long the key is forgotten.

    Raises:
        KeyReused: another request was sent with this key.
        InFlight: it is being carried out.
    """
    reservation = Reservation(request, new_id("req"))
    changes = {
        "fingerprint": request.fingerprint,
        "holder": reservation.holder,
        "lease_until": seconds_now() + lease_seconds,
        "expires": seconds_now() + keep_seconds,
    }
    # One statement decides, so that of many that come together one alone gets it.
    statement = (
        _insert(session)
        .values(scope=request.scope, key=request.key, **changes)
        .on_conflict_do_update(
            index_elements=[IdempotencyKey.scope, IdempotencyKey.key],
            set_={"status": None, "headers": None, "body": None, **changes},
            where=sa.or_(
                IdempotencyKey.expires < seconds_now(),
                IdempotencyKey.lease_until < seconds_now(),
                # Given before the clock was put back.
                IdempotencyKey.lease_until > seconds_now() + 2 * lease_seconds,
            ),
        )
        .returning(IdempotencyKey.holder)
    )
    if session.scalar(statement) is not None:
        return reservation
    return _answer_of(session, request)


def answer(session: Session, reservation: Reservation, stored: StoredAnswer) -> None:
    """Keep the answer of what this transaction does.

    Raises:
        InFlight: the reservation ran out, and another request took it over; this transaction must not commit.
    """
    statement = sa.update(IdempotencyKey).where(_held(reservation)).values(lease_until=None, **vars(stored))
    if session.execute(statement).rowcount != 1:  # type: ignore[attr-defined]
        raise _in_flight()


def release(session: Session, reservation: Reservation) -> None:
    """The request failed: the key may be used again, for another request too. An answer that was kept stays."""
    session.execute(sa.delete(IdempotencyKey).where(_held(reservation)))


def forget(session: Session) -> None:
    """Remove the keys whose time is over."""
    session.execute(sa.delete(IdempotencyKey).where(expired()))


def expired() -> sa.ColumnElement[bool]:
    """The keys that `forget` removes."""
    return IdempotencyKey.expires < seconds_now()


def _answer_of(session: Session, request: Keyed) -> StoredAnswer:
    row = session.get(IdempotencyKey, (request.scope, request.key))
    if row is None:  # released since
        raise _in_flight()
    if row.fingerprint != request.fingerprint:
        remedy = (
            "Send a new key with a new request; with this key, send exactly the request that it was first sent with."
        )
        raise KeyReused("this key was sent with another request", field="Idempotency-Key", remedy=remedy)
    if row.status is None:
        raise _in_flight()
    assert row.headers is not None
    assert row.body is not None
    return StoredAnswer(row.status, row.headers, row.body)


def _insert(session: Session) -> postgresql.Insert | sqlite.Insert:
    """SQLAlchemy's common insert knows no ON CONFLICT."""
    of = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    return of(IdempotencyKey)


def _held(reservation: Reservation) -> sa.ColumnElement[bool]:
    return sa.and_(
        IdempotencyKey.scope == reservation.request.scope,
        IdempotencyKey.key == reservation.request.key,
        IdempotencyKey.holder == reservation.holder,
        IdempotencyKey.lease_until.is_not(None),
    )


def _in_flight() -> InFlight:
    return InFlight("a request with this key is being carried out", retry_after_seconds=_RETRY_SECONDS)
