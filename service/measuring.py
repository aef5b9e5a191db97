"""ASGI middleware that counts requests and their time, by route; and GET /metrics."""

import time
from functools import lru_cache

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.deps import resources_of
from service.metrics import REQUEST_SECONDS, REQUESTS, exposition

# One name for all paths that are not ours, so that requests cannot make new series.
_UNMATCHED = "unmatched"
_METHODS = {"GET", "POST", "PUT", "DELETE"}
_OTHER = "other"

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def get_metrics(request: Request) -> Response:
    """What this process has counted and measured, and what the database holds, as Prometheus reads it."""
    return Response(exposition() + await resources_of(request).counts.exposition(), media_type=CONTENT_TYPE_LATEST)


class Measured:
    """Counts every answer, those of other middleware included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            count(scope, status, time.perf_counter() - started)


def count(scope: Scope, status: int, seconds: float) -> None:
    """Count a request that was answered, or not at all (500)."""
    route = getattr(scope.get("route"), "path", _UNMATCHED)
    requests, request_seconds = _counters(scope["method"] if scope["method"] in _METHODS else _OTHER, route, status)
    requests.inc()
    request_seconds.observe(seconds)


@lru_cache(maxsize=4096)
def _counters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    # Looking them up by their labels takes longer than counting.
    return REQUESTS.labels(method, route, status), REQUEST_SECONDS.labels(route)
