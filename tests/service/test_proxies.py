"""Behind a reverse proxy, and clients that offer another protocol: over sockets, as the service is run."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from noisegate.store.settings import Settings
from tests.service.conftest import run_client, run_server
from tests.service.factories import png_bytes
from tests.service.processes import run_process

PNG = {"Content-Type": "image/png"}
# What the JDK's HttpClient and `curl --http2` send with their first request.
OFFER = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
}


@pytest.fixture
def port(settings: Settings, model: str) -> Iterator[int]:
    assert model
    with run_server(settings) as (_, port):
        yield port


def head_of(method: str, path: str, **headers: str) -> bytes:
    named = {"Host": "127.0.0.1", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode()


def answers(opened: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """So many answers that come on this connection, in their order."""
    found = []
    reader = opened.makefile("rb")
    for _ in range(count):
        status = int(reader.readline().split()[1])
        headers = http.client.parse_headers(reader)
        found.append((status, reader.read(int(headers["content-length"]))))
    return found


def test_a_body_stays_where_another_protocol_is_offered(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    offered: list[Any] = []
    plain: list[Any] = []
    for headers, found in ((OFFER | PNG, offered), (PNG, plain)) * 2:
        connection.request("POST", "/classify", png_bytes(), headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        found.append(json.loads(answer.read()) | {"timing": None})
    assert offered == plain
    # In chunks, and without a body.
    connection.request(
        "POST", "/classify", iter([png_bytes()[:40], png_bytes()[40:]]), OFFER | PNG, encode_chunked=True
    )
    assert json.loads(connection.getresponse().read()) | {"timing": None} == plain[0]
    connection.request("GET", "/livez", headers=OFFER)
    assert connection.getresponse().read() == b'{"status":"ok"}'
    connection.close()


def test_requests_in_one_piece_and_in_single_bytes_keep_their_order(port: int) -> None:
    offer = {name.replace("-", "_"): value for name, value in OFFER.items()}
    body = b'{"model": "nothing"}'
    put = (
        head_of("PUT", "/aliases/other", Content_Type="application/json", Content_Length=str(len(body)), **offer) + body
    )
    get = head_of("GET", "/livez")
    also = head_of("GET", "/aliases/nothing-like-it", Connection="Upgrade", Upgrade="websocket")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as opened:
        opened.sendall((put + get + also) * 20)
        found = answers(opened, 60)
        for sent in (put + get + also)[:400], (put + get + also)[400:]:
            for byte in sent:
                opened.sendall(bytes([byte]))
        found += answers(opened, 3)
    assert [status for status, _ in found] == [404, 200, 405] * 21
    assert all(b"no model" in text for _, text in found[::3])


def test_what_is_no_request_is_refused_after_an_offer_too(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as opened:
        opened.sendall(
            head_of("GET", "/livez", Connection="Upgrade", Upgrade="h2c") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        )
        assert opened.makefile("rb").read().count(b"HTTP/1.1 400 Bad Request") == 1
    with socket.create_connection(("127.0.0.1", port), timeout=30) as opened:
        opened.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n")
        assert opened.makefile("rb").read().startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("stripped", [True, False])
def test_below_a_prefix_whether_the_proxy_strips_it_or_not(settings: Settings, stripped: bool) -> None:
    below = "" if stripped else "/noise/gate"
    with run_client(settings.model_copy(update={"url_prefix": "/noise/gate"})) as client:
        assert client.get(f"{below}/livez").json() == {"status": "ok"}
        assert client.get(f"{below}/openapi.json").json()["servers"] == [{"url": "/noise/gate"}]
        for path in ("/classify", "/nothing", "/v2/models/nothing/infer"):
            answer = client.post(below + path, content=png_bytes(), headers=PNG)
            assert answer.status_code == (404 if path != "/v2/models/nothing/infer" else 415), answer.text
        assert "noisegate_http_requests_total" in client.get(f"{below}/metrics").text
        location = client.post(f"{below}/datasets", json={"source": "digits"}).headers["Location"]
        assert location.startswith("/noise/gate/datasets/")
        assert client.get(location).json()["name"] == "digits"
        headers = {"Accept": "text/html", "X-Real-IP": "198.51.100.7"}
        page = client.get(f"{below}/ui/experiments", headers=headers, follow_redirects=False)
        assert page.headers["Location"].startswith("/noise/gate/ui/")


def test_paths_that_only_begin_as_the_prefix_are_not_below_it(settings: Settings) -> None:
    with run_client(settings.model_copy(update={"url_prefix": "/live"})) as client:
        assert client.get("/livez").json() == {"status": "ok"}
        assert client.get("/live/livez").json() == {"status": "ok"}


def test_the_process_is_run_with_all_of_it(settings: Settings, tmp_path: Path) -> None:
    environment = {"NOISEGATE_URL_PREFIX": "/gate", "NOISEGATE_KEEP_ALIVE_SECONDS": "1"}
    with run_process(settings, tmp_path, environment=environment) as service:
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as opened:
            opened.sendall(
                head_of("POST", "/gate/classify", Connection="Upgrade", Upgrade="h2c", Content_Length="2") + b"{}"
            )
            ((status, text),) = answers(opened, 1)
            assert (status, b"Content-Type" in text) == (415, True)
            idle_since = time.monotonic()
            assert opened.recv(1) == b""
        assert time.monotonic() - idle_since < 5, "uvicorn's own time is five seconds"
