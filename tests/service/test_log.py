"""What the service logs: JSON, with the request's name, and no secrets."""

import json
import logging
from typing import Any

import pytest
import sqlalchemy as sa
import uvicorn
from starlette.testclient import TestClient

from noisegate.logs import configure_logs, without_secrets
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from tests.service.factories import ready_dataset


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/classify"])
def test_every_answer_names_its_request(shared_client: TestClient, path: str) -> None:
    method = "POST" if path == "/classify" else "GET"
    given = shared_client.request(method, path, headers={"X-Request-Id": "from.caller_1-2"})
    assert given.headers.get_list("x-request-id") == ["from.caller_1-2"]
    made = {shared_client.request(method, path, headers=headers).headers["x-request-id"] for headers in _ILL_FORMED}
    assert len(made) == len(_ILL_FORMED)
    assert all(len(id) == 16 and id.isalnum() for id in made)


_ILL_FORMED: list[dict[str, str]] = [{}, {"X-Request-Id": "a" * 65}, {"X-Request-Id": "a b"}, {"X-Request-Id": "a\t{}"}]


def test_an_error_is_logged_under_its_request(
    client: TestClient, sessions: Sessions, capsys: pytest.CaptureFixture[str]
) -> None:
    with sessions.begin() as session:
        session.execute(sa.text("ALTER TABLE workers RENAME TO elsewhere"))
    capsys.readouterr()
    answer = client.get("/workers", headers={"X-Request-Id": "seen-again"})
    (line,) = [line for line in lines(capsys.readouterr().out) if line["event"] == "request_failed"]
    assert (answer.status_code, line["code"]) == (503, "database-away")
    assert answer.headers["x-request-id"] == "seen-again"
    assert line["request_id"] == "seen-again"
    assert line["level"] == "error"
    assert "no such table" in line["exception"]


def test_a_line_ties_what_workers_log_to_the_request(
    client: TestClient, sessions: Sessions, artefacts: Artefacts, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker's lines have the experiment's id; that of the post has the request's, too."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    capsys.readouterr()
    named = {"X-Request-Id": "the-post"}
    post = client.post("/experiments", json={"dataset": "pets", "executions": 3}, headers=named).json()
    client.post(f"/experiments/{post['id']}/cancel", headers={"X-Request-Id": "the-end"})
    found = {
        line["event"]: (line["experiment"], line["request_id"])
        for line in lines(capsys.readouterr().out)
        if line["event"].startswith("experiment_")
    }
    assert found == {
        "experiment_posted": (post["id"], "the-post"),
        "experiment_cancelled": (post["id"], "the-end"),
    }


def test_libraries_log_as_we_do(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    # Servers of other tests want less of it.
    caplog.set_level(logging.WARNING, "uvicorn.error")
    configure_logs("json")
    logging.getLogger("uvicorn.error").warning("cannot reach %s", "redis://user:hunter2@broker/0")
    (line,) = lines(capsys.readouterr().err)
    assert line["event"] == "cannot reach redis://user:***@broker/0"
    assert (line["level"], line["logger"]) == ("warning", "uvicorn.error")


def test_an_access_log_that_is_off_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    access = logging.getLogger("uvicorn.access")
    monkeypatch.setattr(access, "handlers", [])
    monkeypatch.setattr(access, "propagate", True)
    uvicorn.Config("service.app:create_app", access_log=False, log_config=None)
    configure_logs("json")
    assert not access.hasHandlers()


@pytest.mark.parametrize(
    "line",
    [
        "postgresql+psycopg://me:hunter2@host/db",
        "redis://:hunter2@host",
        '{"authorization": "Bearer hunter2"}',
        "Authorization: Basic hunter2",
        r"{\"headers\": [(b'authorization', b'Bearer hunter2')]}",
        "ng_0123456789ab_hunter2hunter2hunter2",
        r'{"exception": "...\ng_0123456789ab_hunter2hunter2hunter2"}',
        r'{"exception": "...\tng_0123456789ab_hunter2hunter2hunter2"}',
        r'{"exception": "GET / HTTP/1.1\r\nAuthorization: Basic hunter2"}',
        r'{"exception": "two lines\nBearer hunter2"}',
    ],
)
def test_secrets_are_crossed_out(line: str) -> None:
    assert "hunter2" not in without_secrets(line)
