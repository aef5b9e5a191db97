"""Who may do what: the scope that an operation needs, and the callers whose keys this process knows."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope as RequestScope

from noisegate.store import keys
from noisegate.store.browser_sessions import SignedIn
from noisegate.store.keys import Key, Scope
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import NOBODY
from service.ending import in_a_thread
from service.errors import Unauthenticated
from service.guide import PREFIX as GUIDE

log = structlog.get_logger(__name__)

# What a caller learns here belongs to no owner.
PUBLIC = frozenset(
    {
        "/",
        "/livez",
        "/readyz",
        "/docs",
        "/redoc",
        GUIDE,
        "/openapi.json",
        "/v2",
        "/v2/",
        "/v2/health/live",
        "/v2/health/ready",
    }
)
# They know the caller by other means: the one by the key in its form, the other by the cookie, and both by where they come from.
_SIGNING = frozenset({"/ui/sign-in", "/ui/sign-out"})
_CLASSIFYING = frozenset({"/classify", "/classify/batch", "/hybrids", "/ui/classify"})
# Stylesheets and scripts, the same for everybody; and what an installation's keeper sees.
_FOR_ALL, _ADMIN = ("/ui/static/", f"{GUIDE}/"), "/ui/admin"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
_CALLER = "noisegate.caller"


@dataclass(frozen=True)
class Caller:
    """For whom a request is carried out.

    Attributes:
        csrf: what changes have to show of a browser session; None of who came with a key, or needs none.
    """

    owner: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    csrf: str | None = None

    @property
    def sees_all(self) -> bool:
        return Scope.ADMIN in self.scopes

    def may(self, scope: Scope) -> bool:
        """Whether this caller has the scope."""
        return self.sees_all or scope in self.scopes

    def sees(self, owner: str) -> bool:
        """Whether what belongs to this owner exists for this caller."""
        return self.sees_all or owner in (self.owner, NOBODY)


# Callers of a service that asks for no keys may do everything, and what they make is shared.
ANYBODY = Caller(NOBODY, frozenset(Scope))


def needed_scope(method: str, path: str) -> Scope | None:
    """The scope that this operation needs; None where no key is asked for. An operation without an entry needs one.

    Args:
        path: without a root path.
    """
    if path in _SIGNING or ((path in PUBLIC or path.startswith(_FOR_ALL)) and method in READING):
        return None
    if path == _ADMIN or path.startswith(f"{_ADMIN}/"):
        return Scope.ADMIN
    if path in _CLASSIFYING or path.startswith("/v2/"):
        return Scope.CLASSIFY
    return Scope.READ if method in READING else Scope.TRAIN


def caller_of(scope: RequestScope) -> Caller:
    """For whom this request is carried out: the guard has let it in."""
    caller: Caller = scope[_CALLER]
    return caller


def known_caller(scope: RequestScope) -> Caller | None:
    """The same; None of a request that was refused before it was known whose it is."""
    return scope.get(_CALLER)


def let_in(scope: RequestScope, caller: Caller) -> None:
    """Note who it is."""
    scope[_CALLER] = caller


class KeyRing:
    """The open keys of the database, in memory: classifying waits for no database, and works while it is away."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._seconds = settings.key_refresh_seconds
        self._sessions = sessions
        self._keys: dict[str, Key] = {}
        self._looked_at = float("-inf")
        self._away: SQLAlchemyError | None = None
        self._looking = asyncio.Lock()

    async def caller(self, token: str) -> Caller:
        """For whom this key stands.

        Raises:
            Unauthenticated: unknown, revoked or expired; which of them is not told.
            SQLAlchemyError: it is not known here, and the database is away.
        """
        parts = keys.split(token)
        if parts is None:
            raise _refused()
        id, secret = parts
        if id not in self._keys:
            # It may be new. Made-up ids must not keep the database busy, so it is asked once in a while only.
            await self._look(older_than=self._seconds)
        key = self._keys.get(id)
        if key is None or not key.opens_with(secret) or key.expired:
            raise _refused()
        return Caller(key.owner, key.scopes, key.id)

    def of_session(self, found: SignedIn) -> Caller:
        """For whom a browser session stands, with what its key may do by now.

        Raises:
            Unauthenticated: the key was revoked, or has expired.
        """
        key = self._keys.get(found.key_id)
        if key is None or key.expired:
            raise _refused()
        return Caller(key.owner, key.scopes, key.id, found.csrf)

    async def keep_fresh(self) -> None:
        """Look for new and revoked keys until cancelled."""
        while True:
            try:
                await self._look(older_than=0)
            except SQLAlchemyError as error:
                log.warning("keys_not_refreshed", reason=type(error).__name__)
            except Exception:  # whatever it was, revoked keys have to be noticed until the process ends
                log.exception("keys_not_refreshed")
            await asyncio.sleep(self._seconds)

    async def _look(self, older_than: float) -> None:
        async with self._looking:
            if time.monotonic() - self._looked_at < older_than:
                if self._away is not None:
                    raise self._away.with_traceback(None)
                return
            try:
                self._keys, self._away = await in_a_thread(self._open_keys), None
            except SQLAlchemyError as error:
                self._away = error
                raise
            finally:
                # A database that is away is not asked more often than one that answers.
                self._looked_at = time.monotonic()

    def _open_keys(self) -> dict[str, Key]:
        with self._sessions.reading() as session:
            return keys.open_keys(session)


def describe(document: dict[str, Any], refusals: dict[int | str, dict[str, Any]]) -> None:
    """Enter in an OpenAPI document which scope each operation needs, and the answers without it."""
    scheme = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "ng_<id>_<secret>",
        "description": "Needed unless the service is bound to the loopback interface. Scopes: read, classify, train, admin.",
    }
    document.setdefault("components", {}).setdefault("securitySchemes", {})["key"] = scheme
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = needed_scope(method.upper(), path)
            if scope is None:
                operation["security"] = []
                continue
            operation["security"] = [{"key": []}]
            operation["x-scope"] = scope.value
            for status, answer in refusals.items():
                operation["responses"].setdefault(str(status), answer)


def _refused() -> Unauthenticated:
    remedy = "Send `Authorization: Bearer ng_…`; `noisegate keys create` makes keys."
    return Unauthenticated("there is no key, or it is not valid", remedy=remedy)
