"""API keys: made, looked up, revoked. A key is `ng_<id>_<secret>`; the database has the id and a digest of the secret.

The secret is 256 random bits, so its SHA-256 gives nothing away: a slow hash is for words that people choose.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.errors import InvalidInput, NotFound
from noisegate.store.tables import ApiKey, utc_now

PREFIX = "ng"
_TOKEN = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,39}")


class Scope(StrEnum):
    """What a key may do. None contains another, but `admin` all."""

    READ = "read"
    CLASSIFY = "classify"
    TRAIN = "train"
    ADMIN = "admin"


@dataclass(frozen=True)
class Key:
    """A key as processes keep it in memory."""

    id: str
    owner: str
    scopes: frozenset[Scope]
    secret_digest: str
    expires_at: datetime | None

    def opens_with(self, secret: str) -> bool:
        """Whether this is its secret; takes as long for every wrong one."""
        return hmac.compare_digest(self.secret_digest, _digest(secret))

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


def split(token: str) -> tuple[str, str] | None:
    """Id and secret of a key as a caller shows it; None if no key looks like that."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def create(
    session: Session, *, owner: str, scopes: Collection[Scope], days: float | None = None, note: str = ""
) -> tuple[str, ApiKey]:
    """A new key as its holder has to show it, which is not kept, and its row.

    Args:
        days: how long it is valid; None: until it is revoked.

    Raises:
        InvalidInput: no scope, or an owner that is no name.
    """
    if not scopes:
        raise InvalidInput("a key without a scope opens nothing", field="scopes", remedy=f"Choose of {_listed()}.")
    if not _OWNER.fullmatch(owner):
        remedy = "Use up to 40 letters, digits and . _ @ -, beginning with a letter or digit."
        raise InvalidInput(f"{owner!r} is no name of an owner", field="owner", remedy=remedy)
    id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = ApiKey(
        id=id,
        owner=owner,
        scopes=[scope.value for scope in Scope if scope in scopes],
        secret_digest=_digest(secret),
        note=note[:200],
        expires_at=None if days is None else utc_now() + timedelta(days=days),
    )
    session.add(row)
    session.flush()
    return f"{PREFIX}_{id}_{secret}", row


def revoke(session: Session, id: str) -> ApiKey:
    """Close a key for good. Services notice within `key_refresh_seconds`. Revoking twice changes nothing.

    Raises:
        NotFound: no such key.
    """
    row = session.get(ApiKey, id)
    if row is None:
        raise NotFound(f"there is no key {id!r}", field="id", remedy="`noisegate keys list` lists them.")
    row.revoked_at = row.revoked_at or utc_now()
    session.flush()
    return row


def every(session: Session) -> Sequence[ApiKey]:
    """All keys, revoked ones included, in the order in which they were made."""
    return session.scalars(sa.select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)).all()


def open_keys(session: Session) -> dict[str, Key]:
    """The keys that are neither revoked nor expired, by id."""
    rows = session.scalars(sa.select(ApiKey).where(ApiKey.revoked_at.is_(None)))
    keys = (Key(row.id, row.owner, _known(row.scopes), row.secret_digest, row.expires_at) for row in rows)
    return {key.id: key for key in keys if not key.expired}


def _known(names: Collection[str]) -> frozenset[Scope]:
    """These scopes but for those of a newer version, which may run beside this one: here they allow nothing."""
    return frozenset(scope for scope in Scope if scope.value in names)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _listed() -> str:
    return ", ".join(scope.value for scope in Scope)
