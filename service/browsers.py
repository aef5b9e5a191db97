"""Browser sessions of this process: found by their cookies, checked before anything changes, renewed on the way."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.types import Scope

from noisegate.store import browser_sessions
from noisegate.store.browser_sessions import LONGEST, SignedIn, digest_of
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.access import READING
from service.ending import in_a_thread
from service.errors import Forbidden

CSRF_HEADER = "x-csrf-token"
# Of more the least used are looked up again.
_REMEMBERED = 10_000
_MOST_TOKEN = 100

_CROSS_SITE = "a page of another website sent this"
_REMEDY = "Load the page again, and repeat it there."


class Browsers:
    """The sessions that this process has met. Used from one event loop, so its dictionary needs no lock.

    What is found is remembered for as long as keys are: a session that another process has closed ends within that time here.
    """

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._seconds = settings.key_refresh_seconds
        self._sessions = sessions
        self._known: OrderedDict[str, tuple[SignedIn, float]] = OrderedDict()

    async def find(self, token: str) -> SignedIn | None:
        """The session with this token; None without one.

        Raises:
            SQLAlchemyError: it is not known here, and the database is away.
        """
        digest = digest_of(token)
        known, looked_at = self._known.get(digest, (None, float("-inf")))
        if known is None or time.monotonic() - looked_at > self._seconds:
            known = await in_a_thread(self._look_up, digest)
            self._remember(digest, known)
        return None if known is None or known.over else known

    async def open(self, key_id: str) -> str:
        """A new session of this key; returns its token."""

        def work() -> tuple[str, SignedIn]:
            with self._sessions.begin() as session:
                return browser_sessions.open_session(session, key_id)

        token, found = await in_a_thread(work)
        self._remember(found.digest, found)
        return token

    async def renewed(self, found: SignedIn) -> str | None:
        """A new token for a session whose token is due to be replaced; None where another request has seen to it."""

        def work() -> str | None:
            with self._sessions.begin() as session:
                return browser_sessions.rotate(session, found)

        return await in_a_thread(work)

    async def close(self, token: str) -> None:
        """End the session with this token, if there is one."""

        def work() -> None:
            with self._sessions.begin() as session:
                browser_sessions.close(session, digest_of(token))

        self._known.pop(digest_of(token), None)
        await in_a_thread(work)

    def _look_up(self, digest: str) -> SignedIn | None:
        with self._sessions.reading() as session:
            return browser_sessions.find(session, digest)

    def _remember(self, digest: str, found: SignedIn | None) -> None:
        if found is None:
            self._known.pop(digest, None)
            return
        self._known[digest] = (found, time.monotonic())
        self._known.move_to_end(digest)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def token_of(scope: Scope) -> str | None:
    """The token in a request's cookie; None without one."""
    jar: SimpleCookie = SimpleCookie()
    try:
        for header in Headers(scope=scope).getlist("cookie"):
            jar.load(header)
    except CookieError:
        return None
    found = jar.get(_name(scope))
    return found.value if found and 0 < len(found.value) <= _MOST_TOKEN else None


def cookie(scope: Scope, token: str | None) -> str:
    """The Set-Cookie that gives a browser this token, or takes away the one it has.

    Over TLS its name begins with __Host-, so that no other host of the domain and no plain connection can have set it.
    """
    lasts = 0 if token is None else int(LONGEST.total_seconds())
    secure = "; Secure" if _over_tls(scope) else ""
    return f"{_name(scope)}={token or ''}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Strict{secure}"


def check_change(method: str, headers: Mapping[str, str], found: SignedIn) -> None:
    """Refuse a change that a page of ours did not ask for.

    Raises:
        Forbidden: it comes from another website, or does not show the session's token against forgery.
    """
    if method in READING:
        return
    check_same_origin(headers)
    if not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), found.csrf.encode()):
        raise Forbidden(f"this change does not show the session's {CSRF_HEADER}", remedy=_REMEDY)


def check_same_origin(headers: Mapping[str, str]) -> None:
    """Refuse what a browser says was sent by another website, however that website is allowed to ask with a key."""
    origin = headers.get("origin")
    foreign = origin is not None and origin.partition("://")[2] != headers.get("host")
    if foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden(_CROSS_SITE, remedy=_REMEDY)


def _over_tls(scope: Scope) -> bool:
    return bool(scope.get("scheme") == "https")


def _name(scope: Scope) -> str:
    return "__Host-noisegate" if _over_tls(scope) else "noisegate"
