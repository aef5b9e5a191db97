"""Browser sessions: what a person gets in exchange for an API key, to use pages with. Of their tokens only digests are kept.

A token is 256 random bits in a cookie. It is replaced from time to time; the one before is good for a moment longer, for requests
that were under way. A session ends after some hours, with its key, or when somebody signs out.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.store.tables import ApiKey, BrowserSession, utc_now

LONGEST = timedelta(hours=12)
ROTATE_AFTER = timedelta(minutes=30)
# Requests that were sent before the answer with the new token had come.
GRACE = timedelta(minutes=1)


@dataclass(frozen=True)
class SignedIn:
    """A session as processes keep it in memory.

    Attributes:
        digest: of the token that it was found by.
        csrf: what changes have to show besides the cookie.
    """

    id: str
    key_id: str
    digest: str
    csrf: str
    rotated_at: datetime
    expires_at: datetime

    @property
    def over(self) -> bool:
        return self.expires_at <= utc_now()

    @property
    def due(self) -> bool:
        """Whether its token is to be replaced."""
        return self.rotated_at + ROTATE_AFTER <= utc_now()


def open_session(session: Session, key_id: str) -> tuple[str, SignedIn]:
    """A new session of a key that opens, with its token, which is not kept. Those that have expired are removed."""
    now = utc_now()
    session.execute(sa.delete(BrowserSession).where(BrowserSession.expires_at <= now))
    expires = session.scalar(sa.select(ApiKey.expires_at).where(ApiKey.id == key_id))
    token = secrets.token_urlsafe(32)
    row = BrowserSession(
        digest=digest_of(token),
        key_id=key_id,
        csrf=secrets.token_urlsafe(32),
        rotated_at=now,
        expires_at=min(now + LONGEST, expires) if expires else now + LONGEST,
    )
    session.add(row)
    session.flush()
    return token, _signed_in(row, row.digest)


def find(session: Session, digest: str) -> SignedIn | None:
    """The session with a token of this digest, or that had it a moment ago; None without one, and of one that is over."""
    now = utc_now()
    before = sa.and_(BrowserSession.previous_digest == digest, BrowserSession.rotated_at > now - GRACE)
    query = sa.select(BrowserSession).where(sa.or_(BrowserSession.digest == digest, before))
    row = session.scalar(query.where(BrowserSession.expires_at > now))
    return _signed_in(row, digest) if row else None


def rotate(session: Session, found: SignedIn) -> str | None:
    """A new token for the session in the place of this one; None if another request has replaced it already."""
    token = secrets.token_urlsafe(32)
    statement = (
        sa.update(BrowserSession)
        .where(BrowserSession.id == found.id, BrowserSession.digest == found.digest)
        .values(digest=digest_of(token), previous_digest=found.digest, rotated_at=utc_now())
    )
    replaced: int = session.execute(statement).rowcount  # type: ignore[attr-defined]
    return token if replaced else None


def close(session: Session, digest: str) -> None:
    """Sign out: neither the token with this digest nor the one before opens anything any more."""
    which = sa.or_(BrowserSession.digest == digest, BrowserSession.previous_digest == digest)
    session.execute(sa.delete(BrowserSession).where(which))


def digest_of(token: str) -> str:
    """What is kept of a token. It is random, so that its SHA-256 gives nothing away."""
    return hashlib.sha256(token.encode()).hexdigest()


def _signed_in(row: BrowserSession, digest: str) -> SignedIn:
    return SignedIn(row.id, row.key_id, digest, row.csrf, row.rotated_at, row.expires_at)
