"""HEAD answers as GET does, without the body: on every path that answers GET."""

import http.client
import json
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from tests.service.conftest import run_server
from tests.service.factories import ready_dataset

# These change between two requests.
VARYING = {"x-request-id", "date", "content-length", "etag"}


def test_every_path_that_answers_get_answers_head(shared_client: TestClient) -> None:
    document = shared_client.get("/openapi.json").json()["paths"]
    paths = [path for path, operations in document.items() if "get" in operations]
    assert len(paths) > 20
    for path in ["/openapi.json", *paths]:
        url = path.replace("{", "").replace("}", "")
        got, head = shared_client.get(url), shared_client.head(url)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert {name: value for name, value in head.headers.items() if name not in VARYING} == {
            name: value for name, value in got.headers.items() if name not in VARYING
        }, path


def test_the_length_and_the_tag_are_those_of_the_body(shared_client: TestClient) -> None:
    got = shared_client.get("/models")
    head = shared_client.head("/models")
    assert int(head.headers["content-length"]) == len(got.content) > 0
    assert head.headers["etag"] == got.headers["etag"]
    assert shared_client.head("/models", headers={"If-None-Match": got.headers["etag"]}).status_code == 304


def test_where_there_is_no_get_there_is_no_head(shared_client: TestClient) -> None:
    refused = shared_client.head("/classify")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert shared_client.put("/models").headers["allow"] == "GET, HEAD"


@pytest.fixture
def port(settings: Settings) -> Iterator[int]:
    with run_server(settings) as (_, port):
        yield port


def test_on_a_socket_nothing_follows_the_headers_and_a_stream_ends(
    port: int, sessions: Sessions, artefacts: Artefacts
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/experiments", json.dumps({"dataset": "pets"}), {"Content-Type": "application/json"})
    events = f"/experiments/{json.loads(connection.getresponse().read())['id']}/events"
    for path in ("/livez", "/models", "/nowhere", events, "/openapi.json"):
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert answer.read() == b""
        assert answer.status == (404 if path == "/nowhere" else 200)
        # The next answer of the same connection begins where this one ended.
        connection.request("GET", "/livez")
        assert connection.getresponse().read()
    connection.close()
