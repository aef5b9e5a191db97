"""Checks host, key and rate before anything else, and so before reading the body."""

import math
import time
from collections.abc import Mapping

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noisegate.errors import QuotaExceeded
from noisegate.store.browser_sessions import SignedIn
from noisegate.store.settings import Settings, is_loopback
from service.access import ANYBODY, READING, Caller, KeyRing, let_in, needed_scope
from service.browsers import check_change, cookie, token_of
from service.errors import Forbidden, Malformed, Unauthenticated, answer_to, path_of
from service.guide import PREFIX as GUIDE
from service.metrics import KEY_REQUESTS
from service.request_headers import headers_of

_BEARER = "bearer "
_DOOR, _SESSION = "noisegate.door", "noisegate.session"
_OF_PROXIES = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"})
_DOCS = "/docs"
_PAGES = ("/ui", GUIDE)
# Cards and figures are whole in themselves; everything that a page needs comes from here, and pictures that a person has dropped
# are shown from the browser's own memory. Swagger UI has pictures in its stylesheet.
_OURS = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_OF_DOCS = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; script-src 'self'; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OF_PAGES = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def _security_headers(policy: str, referrer: str = "no-referrer") -> list[tuple[bytes, bytes]]:
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": referrer,
        "cross-origin-resource-policy": "same-origin",
    }
    return [(name.encode(), value.encode()) for name, value in headers.items()]


_HEADERS, _HEADERS_OF_DOCS = map(_security_headers, (_OURS, _OF_DOCS))
# With no-referrer a browser would say `Origin: null` of our own forms, as it does of those of others.
_HEADERS_OF_PAGES = _security_headers(_OF_PAGES, "same-origin")


def security_headers(path: str) -> list[tuple[bytes, bytes]]:
    """What every answer below this path has in its headers."""
    if any(path == pages or path.startswith(f"{pages}/") for pages in _PAGES):
        return _HEADERS_OF_PAGES
    return _HEADERS_OF_DOCS if path == _DOCS else _HEADERS


class Guard:
    """ASGI middleware: lets in, or refuses with a problem; and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, door: "Door") -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_of(scope)
        added = security_headers(path)

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *added, *renewed]}
            await send(message)

        renewed: list[tuple[bytes, bytes]] = []
        scope[_DOOR] = self.door

        try:
            let_in(scope, await self.door.admit(scope, path, headers_of(scope)))
            if added is _HEADERS_OF_PAGES and (token := await self.door.renewed(scope)):
                renewed.append((b"set-cookie", cookie(scope, token).encode()))
        except Exception as error:
            # Of a request that is refused nothing more is read.
            await answer_to(Request(scope), error)(scope, receive, secured)
            return
        await self.app(scope, receive, secured)


class Door:
    """Who may come in, as the settings say. One for all ways into the application."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = frozenset(name.lower() for name in settings.allowed_hosts)
        self._origins = frozenset(settings.allowed_origins)
        self._keys_required = settings.keys_required
        self._trusts_loopback = settings.authentication == "auto"
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._most = RateLimitItemPerMinute(settings.requests_per_minute) if settings.requests_per_minute else None
        self._most_failures = RateLimitItemPerMinute(settings.failures_per_minute)

    async def admit(self, scope: Scope, path: str, headers: Mapping[str, str]) -> Caller:
        """For whom this request may be carried out.

        Raises:
            Malformed: it was sent to a name that is not this server's.
            Unauthenticated, Forbidden: as they say; without keys, also a form that another website has sent.
            QuotaExceeded: too many of this key, or too many wrong keys from this address.
        """
        from_here = _on_loopback(scope) and not _forwarded(headers)
        open_to_all = not self._keys_required and (from_here or not self._trusts_loopback)
        self._check_host(headers, only_loopback=open_to_all)
        needed = needed_scope(scope["method"], path)
        if needed is None:
            return ANYBODY
        token = headers.get("authorization")
        if token is None and open_to_all:
            self._check_origin(scope["method"], headers)
            return ANYBODY
        of_browser = token_of(scope) if token is None else None
        caller = await (self._signed_in(scope, headers, of_browser) if of_browser else self.known(scope, token or ""))
        self._count(caller)
        if not caller.may(needed):
            detail = f"this takes a key with the scope {needed.value}"
            raise Forbidden(detail, remedy="Use another key, or have one made with `noisegate keys create`.")
        return caller

    async def _signed_in(self, scope: Scope, headers: Mapping[str, str], token: str) -> Caller:
        """For whom a browser session's cookie stands; of a change it shows that a page of ours asks for it."""
        resources = scope["state"]["resources"]
        address = _address(scope)
        if not self._limiter.test(self._most_failures, address):
            raise self._too_many(self._most_failures, address, "wrong cookies came from this address")
        found: SignedIn | None = await resources.browsers.find(token)
        if found is None:
            self._limiter.hit(self._most_failures, address)
            raise Unauthenticated("the session has ended", remedy="Sign in again, at /ui/sign-in.")
        caller: Caller = resources.keys.of_session(found)
        check_change(scope["method"], headers, found)
        scope[_SESSION] = found
        return caller

    async def renewed(self, scope: Scope) -> str | None:
        """A new token for the session of a request that was let in, when it is time; None otherwise."""
        found: SignedIn | None = scope.get(_SESSION)
        if found is None or not found.due:
            return None
        token: str | None = await scope["state"]["resources"].browsers.renewed(found)
        return token

    async def known(self, scope: Scope, authorization: str) -> Caller:
        """For whom a key in the form of an Authorization header stands; wrong ones are counted.

        Raises:
            Unauthenticated: it opens nothing.
            QuotaExceeded: too many wrong ones came from this address.
        """
        ring: KeyRing = scope["state"]["resources"].keys
        try:
            token = authorization[len(_BEARER) :].strip() if authorization.lower().startswith(_BEARER) else ""
            return await ring.caller(token)
        except Unauthenticated:
            # A right key is let in whatever else comes from its address: many may stand behind one proxy.
            address = _address(scope)
            if authorization and not self._limiter.hit(self._most_failures, address):
                raise self._too_many(self._most_failures, address, "wrong keys came from this address") from None
            raise

    def _count(self, caller: Caller) -> None:
        if self._most is not None and not self._limiter.hit(self._most, caller.key_id or ""):
            raise self._too_many(self._most, caller.key_id or "", "requests came with this key")
        KEY_REQUESTS.labels(caller.key_id).inc()

    def _too_many(self, limit: RateLimitItemPerMinute, who: str, what: str) -> QuotaExceeded:
        seconds = max(1, math.ceil(self._limiter.get_window_stats(limit, who).reset_time - time.time()))
        return QuotaExceeded(f"more than {limit.amount:,} {what} within a minute", retry_after_seconds=seconds)

    def _check_host(self, headers: Mapping[str, str], *, only_loopback: bool) -> None:
        name = _host_name(headers.get("host", ""))
        # Without keys a page in somebody's browser, under a name that leads here, could do everything (DNS rebinding). Loopback
        # names cannot be made to lead elsewhere, and are what health checks ask.
        listed = "*" in self._hosts or name in self._hosts if self._hosts else not only_loopback
        if not (listed or is_loopback(name)):
            remedy = "Ask under a name that NOISEGATE_ALLOWED_HOSTS has."
            raise Malformed(f"this server does not answer to the name {name!r}", field="Host", remedy=remedy)

    def _check_origin(self, method: str, headers: Mapping[str, str]) -> None:
        # A form on any website may post here from the browser of somebody who runs this. Only a key would tell them apart.
        origin = headers.get("origin")
        if method in READING or origin in self._origins:
            return
        foreign = origin is not None and origin.partition("://")[2] != headers.get("host")
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            raise Forbidden("a page of another website sent this", remedy="Use an API key, or send it from elsewhere.")


def door_of(scope: Scope) -> Door:
    """The door that a request came through."""
    door: Door = scope[_DOOR]
    return door


def _address(scope: Scope) -> str:
    address: str = (scope.get("client") or ("unknown",))[0]
    return address


def _host_name(host: str) -> str:
    """The name in a Host header, without its port and in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says that it sends this on for somebody: who stands before it is not on this machine, then."""
    return not _OF_PROXIES.isdisjoint(headers)


def _on_loopback(scope: Scope) -> bool:
    """Whether this request came in on the loopback interface, or through a unix socket."""
    server = scope.get("server")
    return server is not None and (server[1] is None or is_loopback(server[0]))
