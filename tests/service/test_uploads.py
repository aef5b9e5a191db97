import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from noisegate.store import ingestions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import INGEST, Wakeups
from tests.conftest import wait_until
from tests.factories import packed
from tests.service.conftest import run_client, run_server
from tests.service.factories import zip_bytes

ZIP = {"Content-Type": "application/zip"}
StoredFiles = Callable[[], list[Path]]


def test_an_upload_is_stored_registered_and_announced(
    wakeups: Wakeups, client: TestClient, artefacts: Artefacts, stored_files: StoredFiles
) -> None:
    body = zip_bytes()
    digest = hashlib.sha256(body).hexdigest()
    answer = client.post("/datasets?image_size=16", content=body, headers=ZIP)
    found = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/datasets/{found['id']}"
    assert (found["name"], found["source"], found["image_size"]) == (f"upload-{digest[:12]}-16", "upload", 16)
    assert artefacts.read(digest) == body
    assert stored_files() == [artefacts.path(digest)]
    assert wakeups.waiting(INGEST) == 2  # the digits, and this


def test_the_same_bytes_again_are_the_same_dataset(
    client: TestClient, sessions: Sessions, stored_files: StoredFiles
) -> None:
    first = client.post("/datasets?name=pets", content=zip_bytes(), headers=ZIP)
    waiting = client.post("/datasets?name=other", content=zip_bytes(), headers=ZIP)
    assert (first.status_code, waiting.status_code) == (202, 200)
    assert waiting.json()["id"] == first.json()["id"]
    assert len(stored_files()) == 1, "the archive still has to be ingested"
    with sessions.begin() as session:
        claimed = ingestions.claim(session, first.json()["id"], owner="w", lease_seconds=30)
        assert claimed is not None
        ingestions.record_ready(session, claimed[1], packed())
    done = client.post("/datasets", content=zip_bytes(), headers=ZIP)
    assert (done.status_code, done.json()["id"], done.json()["state"]) == (200, first.json()["id"], "ready")
    assert len(stored_files()) == 1, "sending it again added nothing; a worker removes the first when it has served"
    larger = client.post("/datasets?image_size=64", content=zip_bytes(), headers=ZIP)
    assert larger.status_code == 202
    assert larger.json()["id"] != first.json()["id"]


def test_a_form(client: TestClient, artefacts: Artefacts, stored_files: StoredFiles) -> None:
    # More than one batch, and more than Starlette keeps in memory.
    body = bytes(range(256)) * 10_000
    answer = client.post("/datasets?name=pets", files={"archive": ("pets.zip", body)})
    assert (answer.status_code, answer.json()["name"]) == (202, "pets")
    assert stored_files() == [artefacts.path(hashlib.sha256(body).hexdigest())]
    assert artefacts.read(hashlib.sha256(body).hexdigest()) == body


def test_chunks_without_a_content_length(client: TestClient, artefacts: Artefacts) -> None:
    chunks = [bytes([number]) * 700_000 for number in range(5)]
    answer = client.post("/datasets", content=iter(chunks), headers={"Content-Type": "Application/X-Tar; charset=x"})
    assert answer.status_code == 202
    assert artefacts.read(hashlib.sha256(b"".join(chunks)).hexdigest()) == b"".join(chunks)


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        ({"content": b"", "headers": ZIP}, 422, "archive"),
        ({"files": {"archive": ("a.zip", b"")}}, 422, "archive"),
        ({"files": {"file": ("a.zip", b"x")}}, 422, "file"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, None),
        ({"content": b"x", "headers": {"Content-Type": "text/html"}}, 415, None),
        ({"content": b"x"}, 415, None),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, None),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400, None),
        ({"content": b"x", "headers": ZIP, "params": {"image_size": 7}}, 422, "image_size"),
        ({"content": b"x", "headers": ZIP, "params": {"image_size": 225}}, 422, "image_size"),
        ({"content": b"x", "headers": ZIP, "params": {"name": "a\tb"}}, 422, "name"),
        ({"content": b"x", "headers": ZIP, "params": {"name": "digits"}}, 409, "name"),
    ],
)
def test_refused_uploads_leave_nothing(
    client: TestClient, stored_files: StoredFiles, request_: dict[str, object], status: int, field: str | None
) -> None:
    answer = client.post("/datasets", **request_)  # type: ignore[arg-type]
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == ([field] if field else [])
    assert stored_files() == []
    if status == 415:
        assert "application/zip" in answer.json()["detail"]


def limited(body: bytes, chunked: bool) -> bytes | Iterator[bytes]:
    return iter([body[:1000], body[1000:]]) if chunked else body


@pytest.mark.parametrize("chunked", [False, True])
def test_an_archive_over_the_limit(settings: Settings, stored_files: StoredFiles, chunked: bool) -> None:
    tight = settings.model_copy(update={"max_upload_bytes": 3_000_000, "max_json_bytes": 1000})
    with run_client(tight) as client:
        over = client.post("/datasets", content=limited(bytes(3_000_001), chunked), headers=ZIP)
        assert (over.status_code, over.json()["code"]) == (413, "too-large")
        assert "3,000,000 bytes" in over.json()["detail"]
        form = client.post("/datasets", files={"archive": ("a.zip", bytes(3_100_000))})
        assert form.status_code == 413
        json = {"Content-Type": "application/json"}
        source = client.post("/datasets", content=limited(bytes(1001), chunked), headers=json)
        assert (source.status_code, "1,000 bytes" in source.json()["detail"]) == (413, True)
        assert stored_files() == []
        assert client.post("/datasets", content=bytes(3_000_000), headers=ZIP).status_code == 202


@pytest.mark.parametrize("chunked", [False, True])
def test_a_full_disk(settings: Settings, stored_files: StoredFiles, chunked: bool) -> None:
    full = settings.model_copy(update={"min_free_bytes": 2**60})
    with run_client(full) as client:
        answer = client.post("/datasets", content=limited(zip_bytes(), chunked), headers=ZIP)
        assert (answer.status_code, answer.json()["code"]) == (507, "storage-full")
        assert client.post("/datasets", files={"archive": ("a.zip", zip_bytes())}).status_code == 507
        assert stored_files() == []
        assert client.get("/datasets").json()["items"][0]["name"] == "digits"


def test_an_upload_that_breaks_off_leaves_nothing(settings: Settings, stored_files: StoredFiles) -> None:
    head = b"POST /datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/zip\r\nContent-Length: 100000000\r\n\r\n"
    with run_server(settings) as address:
        with socket.create_connection(address) as connection:
            connection.sendall(head + bytes(4_000_000))
            wait_until(lambda: stored_files() != [], seconds=10, what="the upload has begun to be stored")
        wait_until(lambda: stored_files() == [], seconds=10, what="nothing of it is left")
