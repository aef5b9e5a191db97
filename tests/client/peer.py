"""A small HTTP server that answers what a test tells it to, and remembers what it was asked."""

import contextlib
import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from noisegate.api.base import Answer


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(document: object, status: int = 200, content_type: str = "application/json", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(document, default=_document).encode(), {"Content-Type": content_type, **named})


def _document(answer: object) -> object:
    assert isinstance(answer, Answer)
    return answer.document()


def problem_reply(status: int, code: str, **members: Any) -> Reply:
    document = {"status": status, "code": code, "title": "Title", "detail": "Detail", "errors": [], **members}
    return json_reply(document, status, "application/problem+json")


class Peer:
    """Replies in the order they were given for a path; the last one again and again. None drops the connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self._replies: dict[tuple[str, str], deque[Reply | None]] = defaultdict(deque)

    def replies(self, method: str, path: str, *replies: Reply | None) -> None:
        self._replies[method, path].extend(replies)

    def instead(self, method: str, path: str, *replies: Reply | None) -> None:
        """These in place of the ones before."""
        self._replies[method, path] = deque(replies)

    def answer(self, request: Request) -> Reply | None:
        self.requests.append(request)
        waiting = self._replies.get((request.method, request.path))
        if not waiting:
            return problem_reply(404, "not-found", detail=f"{request.method} {request.path}")
        return waiting.popleft() if len(waiting) > 1 else waiting[0]


@contextlib.contextmanager
def peer() -> Iterator[Peer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = False
        server.peer = Peer(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.peer  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, parts.path, query, dict(self.headers.items()), body)
        reply = self.server.peer.answer(request)  # type: ignore[attr-defined]
        if reply is None:
            return
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_DELETE = do_GET = do_POST = do_PUT = handle_any  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""
