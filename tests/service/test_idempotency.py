"""One creation, however often and from however many places a request is sent with its key."""

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.store import experiments, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.clock import seconds_now
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Experiment, IdempotencyKey
from service.idempotency import LEASE_SECONDS
from tests.service.conftest import run_client, run_server
from tests.service.factories import ready_dataset, zip_bytes

SPEC: dict[str, Any] = {"dataset": "pets", "executions": 2}
KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}


@pytest.fixture
def client(sessions: Sessions, artefacts: Artefacts, client: TestClient) -> TestClient:
    """The application with the dataset `pets`."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    return client


@pytest.fixture
def on_any_database(migrated_url: str, broker_url: str, tmp_path: Path) -> Iterator[tuple[Settings, Sessions]]:
    """Settings with the dataset `pets`, on SQLite and on PostgreSQL."""
    settings = Settings(data_dir=tmp_path / "data", database_url=migrated_url, broker_url=broker_url)
    sessions = open_sessions(settings)
    with sessions.begin() as session:
        ready_dataset(session, Artefacts(settings.artefact_root))
    yield settings, sessions
    sessions.close()


def count(sessions: Sessions) -> int:
    with sessions.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Experiment)) or 0


def expire(sessions: Sessions, **changes: Any) -> None:
    with sessions.begin() as session:
        session.execute(sa.update(IdempotencyKey).values(**changes))


def test_the_first_answer_comes_again_byte_by_byte(client: TestClient, sessions: Sessions) -> None:
    first = client.post("/experiments", json=SPEC, headers=KEY)
    experiments_changed = client.post(f"{first.headers['location']}/cancel")
    again = client.post("/experiments", json=SPEC, headers=KEY)
    assert (first.status_code, experiments_changed.status_code, again.status_code) == (202, 202, 202)
    assert again.content == first.content
    for name in ("location", "retry-after", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert count(sessions) == 1


def test_a_key_in_quotes_is_the_same_key(client: TestClient, sessions: Sessions) -> None:
    first = client.post("/experiments", json=SPEC, headers={"Idempotency-Key": r'a\b"c'})
    again = client.post("/experiments", json=SPEC, headers={"Idempotency-Key": r'"a\\b\"c"'})
    assert again.content == first.content
    assert count(sessions) == 1


@pytest.mark.parametrize("key", ["", '"', '""', '"a', '"a"b"', "two words", "x" * 256, f'"{"x" * 256}"', "ü", '"a\\b"'])
def test_what_is_no_key(shared_client: TestClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    for path, body in (("/experiments", SPEC), ("/datasets", {"source": "cifar10"})):
        answer = shared_client.post(path, json=body, headers=headers)
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]


@pytest.mark.parametrize("key", ["x" * 255, f'"{"x" * 255}"', "~!#"])
def test_what_is_a_key(client: TestClient, key: str) -> None:
    for _ in range(2):
        answer = client.post("/datasets", json={"source": "cifar10"}, headers={"Idempotency-Key": key})
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    "other",
    [
        {"json": SPEC | {"seed": 1}},
        {"json": SPEC, "params": {"time_limit": 60}},
        {"json": SPEC, "headers": {"Content-Type": "application/json; charset=utf-16"}},
    ],
)
def test_a_key_is_not_used_for_another_request(client: TestClient, sessions: Sessions, other: dict[str, Any]) -> None:
    client.post("/experiments", json=SPEC, headers=KEY)
    answer = client.post("/experiments", **{**other, "headers": KEY | other.get("headers", {})})
    if "headers" in other:
        assert answer.status_code == 202, "parameters of a content type are not looked at"
    else:
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    assert count(sessions) == 1


def test_a_request_that_failed_may_be_corrected(client: TestClient, sessions: Sessions) -> None:
    wrong = client.post("/experiments", json=SPEC | {"dataset": "nobody"}, headers=KEY)
    assert wrong.status_code == 422
    right = client.post("/experiments", json=SPEC, headers=KEY)
    assert (right.status_code, "idempotent-replayed" in right.headers) == (202, False)
    assert count(sessions) == 1


def test_an_error_of_the_server_releases_the_key(
    client: TestClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(planning, "create", explode)
        assert client.post("/experiments", json=SPEC, headers=KEY).status_code == 500
    assert client.post("/experiments", json=SPEC, headers=KEY).status_code == 202
    assert count(sessions) == 1


def test_every_dry_run_refuses_a_key(client: TestClient, sessions: Sessions) -> None:
    """Every route of the OpenAPI document that has dry_run, so that a new one cannot forget it."""
    with_dry_run = [
        (method, path.replace("{", "").replace("}", ""))
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method, operation in methods.items()
        if any(one["name"] == "dry_run" for one in operation.get("parameters", ()))
    ]
    assert {("post", "/experiments"), ("post", "/datasets"), ("delete", "/datasets/reference")} <= set(with_dry_run)
    for (method, path), yes in itertools.product(with_dry_run, ("true", "1", "on")):
        headers = KEY | {"Content-Type": "application/json"}
        answer = client.request(method, f"{path}?dry_run={yes}", content=json.dumps(SPEC), headers=headers)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["field"]) == (422, "Idempotency-Key"), (method, path)
        assert error["remedy"].startswith("Leave the header out")
    with sessions.reading() as session:
        assert session.scalars(sa.select(IdempotencyKey)).all() == []


def test_a_key_without_a_dry_run_is_taken(client: TestClient, sessions: Sessions) -> None:
    assert client.post("/experiments?dry_run=false", json=SPEC, headers=KEY).status_code == 202
    wrong = client.post("/experiments?dry_run=perhaps", json=SPEC, headers=KEY)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "dry_run")
    assert count(sessions) == 1


def test_a_key_is_forgotten_after_its_time(client: TestClient, sessions: Sessions) -> None:
    first = client.post("/experiments", json=SPEC, headers=KEY)
    expire(sessions, expires=seconds_now() - 1)
    later = client.post("/experiments", json=SPEC, headers=KEY)
    assert later.json()["id"] != first.json()["id"]
    assert count(sessions) == 2


def test_a_lost_reservation_is_in_flight_and_then_taken_over(client: TestClient, sessions: Sessions) -> None:
    first = client.post("/experiments", json=SPEC, headers=KEY)
    # As a process leaves it that was killed before it committed anything.
    with sessions.begin() as session:
        experiments.cancel(session, first.json()["id"])
    expire(sessions, status=None, headers=None, body=None, lease_until=seconds_now() + LEASE_SECONDS)
    early = client.post("/experiments", json=SPEC, headers=KEY)
    assert (early.status_code, early.json()["code"], early.headers["retry-after"]) == (409, "in-flight", "1")
    expire(sessions, lease_until=seconds_now() - 1)
    late = client.post("/experiments", json=SPEC, headers=KEY)
    assert (late.status_code, "idempotent-replayed" in late.headers) == (202, False)
    assert late.json()["id"] != first.json()["id"]


def test_whoever_was_overtaken_creates_nothing(
    client: TestClient, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = planning.create

    def overtaken(session: Any, *arguments: Any, **named: Any) -> Experiment:
        session.execute(sa.update(IdempotencyKey).values(holder="another"))
        return create(session, *arguments, **named)

    monkeypatch.setattr(planning, "create", overtaken)
    answer = client.post("/experiments", json=SPEC, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (409, "in-flight")
    assert count(sessions) == 0


def test_an_upload_comes_again(client: TestClient, sessions: Sessions) -> None:
    headers = KEY | {"Content-Type": "application/zip"}
    first = client.post("/datasets?name=new", content=zip_bytes(), headers=headers)
    again = client.post("/datasets?name=new", content=iter([zip_bytes()[:50], zip_bytes()[50:]]), headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    other = client.post("/datasets?name=new", content=zip_bytes(7), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    # Forms differ in their boundary each time, and not in what they hold.
    form = {"headers": {"Idempotency-Key": "form"}, "params": {"name": "form"}}
    once, twice = (client.post("/datasets", files={"archive": ("a.zip", zip_bytes(9))}, **form) for _ in range(2))  # type: ignore[arg-type]
    assert (twice.content, twice.headers["idempotent-replayed"]) == (once.content, "true")


def test_many_that_come_together_create_one(on_any_database: tuple[Settings, Sessions]) -> None:
    settings, sessions = on_any_database
    with run_server(settings) as (host, port), ThreadPoolExecutor(8) as pool:

        def post(_number: int) -> httpx2.Response:
            while True:
                answer = httpx2.post(f"http://{host}:{port}/experiments", json=SPEC, headers=KEY, timeout=600)
                if answer.status_code != 409:
                    return answer
                assert (answer.json()["code"], answer.headers["retry-after"]) == ("in-flight", "1")

        answers = list(pool.map(post, range(16)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert count(sessions) == 1


def test_a_replay_needs_no_room(client: TestClient, settings: Settings) -> None:
    first = client.post("/experiments", json=SPEC, headers=KEY)
    with run_client(settings.model_copy(update={"min_free_bytes": 2**62})) as full:
        again = full.post("/experiments", json=SPEC, headers=KEY)
        assert (again.status_code, again.content) == (202, first.content)
        assert full.post("/experiments", json=SPEC).status_code == 507
