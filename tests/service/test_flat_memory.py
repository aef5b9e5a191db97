"""Answering leaves nothing behind: no memory is kept for a request that has been answered."""

import gc
import itertools
import sys
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from tests.service.factories import png_bytes

REQUESTS = 400


def scope_of(client: TestClient, query: str) -> dict[str, Any]:
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"image/png")]
    return {
        "type": "http",
        "method": "POST",
        "path": "/classify",
        "query_string": query.encode(),
        "headers": headers,
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 50_000),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
        "state": dict(client.app_state),
    }


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 200), ("max_false_reject=0.5&top_k=1", 200), ("fields=minimal", 200), ("model=nobody", 404)],
)
@pytest.mark.usefixtures("model")
def test_answers_leave_no_memory_behind(client: TestClient, query: str, status: int) -> None:
    """Asked without the test client, which keeps some itself."""
    image = png_bytes()

    async def receive() -> Message:
        return {"type": "http.request", "body": image, "more_body": False}

    async def send(message: Message) -> None:
        assert message.get("status", status) == status

    async def ask(times: int) -> int:
        for _ in range(times):
            await client.app(scope_of(client, query), receive, send)
        gc.collect()
        return sys.getallocatedblocks()

    assert client.portal is not None
    client.portal.call(ask, 200)
    # One block a request would be 400 in each round. Caches fill, and blocks of counters and other threads come and go: so the
    # round with the fewest counts.
    held = [client.portal.call(ask, REQUESTS) for _ in range(4)]
    assert min(later - before for before, later in itertools.pairwise(held)) < REQUESTS / 4
