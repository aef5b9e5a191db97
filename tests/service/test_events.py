"""The stream of events: replayed, live, resumed, and ended in each of the ways there are."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.store import executions, experiments
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Cell, Event, Execution, Experiment
from service.ending import in_background
from service.experiments import streams
from tests.conftest import PATIENCE, wait_until
from tests.factories import claim_one, outcome, queued_experiment, renew, spec
from tests.service.conftest import run_server
from tests.service.factories import ready_dataset

ENDED = ["queued", "started", "epoch", "execution_finished", "cell_finished", "finished"]


@pytest.fixture
def waiting(sessions: Sessions, artefacts: Artefacts) -> str:
    """The id of an experiment with one execution, that waits."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
        return queued_experiment(session, spec(executions=1, sweep={})).id


@pytest.fixture
def ended(sessions: Sessions, waiting: str) -> str:
    """The id of an experiment that has succeeded."""
    run_through(sessions)
    return waiting


@pytest.fixture
def server(settings: Settings) -> Iterator[httpx2.Client]:
    """A client of the application behind a socket, which keeps two streams."""
    with (
        run_server(settings.model_copy(update={"max_event_streams": 2})) as (host, port),
        httpx2.Client(base_url=f"http://{host}:{port}", timeout=20 * PATIENCE) as client,
    ):
        yield client


def run_through(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _, lease = claim_one(session)
    with sessions.begin() as session:
        renew(session, lease, 30, epochs_done=1, images_per_second=10.0)
    with sessions.begin() as session:
        executions.record_success(session, lease, outcome(0.8))


def parsed(text: str) -> list[dict[str, Any]]:
    """The events of a stream, each with its id, its type and its data, as a browser would see them."""
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.strip().split("\n\n")]
    found = [block for block in blocks if "data" in block]
    return [{"id": block["id"], "event": block["event"], **json.loads(block["data"])} for block in found]


def test_everything_that_happened_is_told_in_order(client: TestClient, ended: str) -> None:
    answer = client.get(f"/experiments/{ended}/events")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], "etag" in answer.headers) == ("no-cache", False)
    assert answer.text.startswith("retry: 1000\n\n")
    found = parsed(answer.text)
    assert [event["event"] for event in found] == [event["type"] for event in found] == ENDED
    assert [event["id"] for event in found] == [str(event["number"]) for event in found] == [*"123456"]
    assert all(event["at"].endswith("Z") for event in found)
    assert found[2]["data"] == {"cell": 0, "execution": 0, "epoch": 1, "epochs": 2, "images_per_second": 10}
    assert found[3]["data"] == {"cell": 0, "execution": 0, "state": "succeeded", "accuracy": 0.8}
    assert found[5]["data"] == {"state": "succeeded"}


@pytest.mark.parametrize(
    ("query", "headers", "first"),
    [("?after=4", {}, 5), ("", {"Last-Event-ID": "2"}, 3), ("?after=1", {"Last-Event-ID": "5"}, 6)],
)
def test_whoever_comes_again_goes_on(
    client: TestClient, ended: str, query: str, headers: dict[str, str], first: int
) -> None:
    answer = client.get(f"/experiments/{ended}/events{query}", headers=headers)
    assert [event["number"] for event in parsed(answer.text)] == list(range(first, 7))


def test_after_the_end_there_is_no_need_to_come_again(client: TestClient, ended: str) -> None:
    path = f"/experiments/{ended}/events"
    for last in ("6", "7", "9" * 9):
        answer = client.get(path, headers={"Last-Event-ID": last})
        assert (answer.status_code, answer.content) == (204, b"")


def test_a_page_of_events(client: TestClient, ended: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAGE", 4)
    path, accept = f"/experiments/{ended}/events", {"Accept": "application/json"}
    first = client.get(path, headers=accept)
    assert first.headers["vary"] == "Accept"
    assert [event["type"] for event in first.json()["items"]] == ENDED[:4]
    assert (first.json()["last"], first.json()["ended"]) == (4, False)
    second = client.get(f"{path}?after=4", headers=accept).json()
    assert ([event["number"] for event in second["items"]], second["last"], second["ended"]) == ([5, 6], 6, True)
    assert client.get(f"{path}?after=6", headers=accept).json() == {"items": [], "last": 6, "ended": True}
    assert [event["number"] for event in parsed(client.get(path).text)] == [1, 2, 3, 4, 5, 6], "a stream has no pages"


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("?after=-1", {}, "after"),
        ("?after=x", {}, "after"),
        (f"?after={2**31}", {}, "after"),
        ("", {"Last-Event-ID": "x"}, "Last-Event-ID"),
        ("", {"Last-Event-ID": "9" * 5000}, "Last-Event-ID"),
    ],
)
def test_wrong_numbers(shared_client: TestClient, query: str, headers: dict[str, str], field: str) -> None:
    answer = shared_client.get(f"/experiments/exp_nothing/events{query}", headers=headers)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_an_unknown_experiment_is_a_problem_and_no_stream(shared_client: TestClient) -> None:
    for accept in ("text/event-stream", "application/json"):
        answer = shared_client.get("/experiments/exp_nothing/events", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_what_happens_is_told_as_it_happens(server: httpx2.Client, sessions: Sessions, waiting: str) -> None:
    with server.stream("GET", f"/experiments/{waiting}/events") as stream:
        lines = stream.iter_lines()
        while next(lines) != "event: queued":
            pass
        threading.Timer(0.5, run_through, [sessions]).start()
        began = time.monotonic()
        rest = "event: queued\n" + "\n".join(lines)
    assert [event["event"] for event in parsed(rest)] == ENDED
    assert time.monotonic() - began > 0.4


def test_streams_are_counted_and_a_client_that_goes_gives_its_place_back(server: httpx2.Client, waiting: str) -> None:
    path = f"/experiments/{waiting}/events"
    with server.stream("GET", path) as first, server.stream("GET", path) as second:
        assert (first.status_code, second.status_code) == (200, 200)
        full = server.get(path)
        assert (full.status_code, full.json()["code"], full.headers["retry-after"]) == (429, "quota-exceeded", "10")
        assert server.get(path, headers={"Accept": "application/json"}).status_code == 200

    def has_place() -> bool:
        with server.stream("GET", path) as third:
            return third.status_code == 200

    wait_until(has_place, seconds=5, what="a place is free again")


def test_a_stream_ends_with_its_experiment(server: httpx2.Client, sessions: Sessions, waiting: str) -> None:
    with server.stream("GET", f"/experiments/{waiting}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        with sessions.begin() as session:
            for table in (Event, Execution, Cell):
                session.execute(sa.delete(table).where(table.experiment_id == waiting))
            session.execute(sa.delete(Experiment).where(Experiment.id == waiting))
        assert len(list(lines)) < 10


def test_a_stream_says_that_it_lives_and_ends_after_a_while(
    server: httpx2.Client, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(streams, "KEEPALIVE_SECONDS", 0.2)
    monkeypatch.setattr(streams, "LONGEST_SECONDS", 1.0)
    text = server.get(f"/experiments/{waiting}/events").text
    assert 2 <= text.count(": ping\n\n") <= 5
    assert [event["event"] for event in parsed(text)] == ["queued"]


def test_cancelling_is_told(server: httpx2.Client, sessions: Sessions, waiting: str) -> None:
    with sessions.begin() as session:
        experiments.cancel(session, waiting)
    found = parsed(server.get(f"/experiments/{waiting}/events").text)
    assert [event["event"] for event in found] == ["queued", "cancelling", "cell_finished", "finished"]
    assert (found[1]["data"], found[3]["data"]) == ({"reason": "requested"}, {"state": "cancelled"})


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_an_open_stream_does_not_hold_up_the_end_of_the_server(
    settings: Settings, waiting: str, ending: signal.Signals
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "service.app:create_app", "--factory", "--port", str(port)]
    environment = os.environ | {
        "NOISEGATE_DATA_DIR": str(settings.data_dir),
        "NOISEGATE_BROKER_URL": settings.broker_url,
    }
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20 * PATIENCE) as client:
                wait_until(lambda: _answers(client), seconds=60, what="the service answers")
                with client.stream("GET", f"/experiments/{waiting}/events") as stream:
                    lines = stream.iter_lines()
                    assert next(lines) == "retry: 1000"
                    process.send_signal(ending)
                    # To its proper end: a connection that is cut would raise here.
                    list(lines)
            process.wait(timeout=5 * PATIENCE)
        finally:
            process.kill()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx2.TransportError:
        return False


def test_a_hundred_streams_look_as_often_as_one(
    sessions: Sessions, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LOOK_SECONDS", 0.05)
    looks: list[str] = []
    sa.event.listen(sessions.engine, "before_cursor_execute", lambda *args: looks.append(args[2]))

    async def watched() -> float:
        watch = streams.Watch(sessions)
        async with in_background(watch.run()):
            waiters = [asyncio.create_task(watch.news_after(waiting, 1, 30)) for _ in range(100)]
            await asyncio.sleep(0.5)
            assert not any(waiter.done() for waiter in waiters)
            before = len(looks)
            with sessions.begin() as session:
                experiments.cancel(session, waiting)
            began = time.monotonic()
            async with asyncio.timeout(10 * PATIENCE):
                told = await asyncio.gather(*waiters)
            assert 2 <= before <= 30, "one statement a look, and its BEGIN"
            assert {one.parts for one in told if one} == {told[0].parts if told[0] else ()}
            assert [number for number, _ in told[0].parts if told[0]] == [2, 3, 4]  # type: ignore[union-attr]
            assert len(looks) - before <= 25, "and what happened is read once"
            return time.monotonic() - began

    assert asyncio.run(watched()) < 1 * PATIENCE


def test_a_stream_that_asks_for_more_than_was_read_is_told_at_the_next_look() -> None:
    loop = asyncio.new_event_loop()
    early, late, done = loop.create_future(), loop.create_future(), loop.create_future()
    found = streams.Told(3, ((4, b"four"), (5, b"five")), over=False)
    streams._give({early: 2, late: 4, done: 5}, found)
    assert (early.done(), done.done()) == (False, False)
    assert late.result() == streams.Told(4, ((5, b"five"),), over=False)
    streams._give({early: 2}, None)
    assert early.result() is None, "it looks for itself"
    loop.close()
