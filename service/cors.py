"""Which websites' pages may ask from a browser: none, unless the settings name them. They show a key in a header: the
cookie of a browser session is for pages of this service alone.
"""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from noisegate.store.settings import Settings

_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "X-Request-Id"]
_SHOWN = ["ETag", "Idempotent-Replayed", "Location", "Retry-After", "X-Label", "X-Request-Id"]


def for_websites(app: ASGIApp, settings: Settings) -> ASGIApp:
    """`app`, answering the pages of `allowed_origins`, too; without any it is `app` itself.

    It has to stand around the door: a preflight shows no key, and a page is to read why it was refused.
    """
    if not settings.allowed_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=_HEADERS,
        expose_headers=_SHOWN,
    )
