"""The worker's health check: only a young heartbeat of this host is health."""

import socket

import pytest
import sqlalchemy as sa

from noisegate.store import workers
from noisegate.store.clock import seconds_now
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Worker
from tests.worker.conftest import on_both_databases
from worker import health


def _beat(sessions: Sessions, host: str, seconds_ago: float) -> None:
    with sessions.begin() as session:
        workers.beat(session, host, host=host, device="cpu", processes=1, version="1")
        session.execute(sa.update(Worker).where(Worker.name == host).values(beat_at=seconds_now() - seconds_ago))


@on_both_databases
@pytest.mark.parametrize(
    ("host", "seconds_ago", "status", "said"),
    [("", 0, 0, "heartbeat is 0 s old"), ("", 60, 1, "heartbeat is 60 s old"), ("another", 0, 1, "No worker of")],
    ids=["young", "old", "another host's"],
)
def test_health_is_a_young_heartbeat_of_this_host(
    sessions: Sessions,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
    seconds_ago: float,
    status: int,
    said: str,
) -> None:
    _beat(sessions, host or socket.gethostname(), seconds_ago)
    monkeypatch.setattr(health, "load_settings", lambda: settings)
    assert health.main() == status
    assert said in capsys.readouterr().out


def test_a_database_that_does_not_answer_is_no_health(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Settings(database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")
    monkeypatch.setattr(health, "load_settings", lambda: away)
    assert health.main() == 1
    assert "does not answer" in capsys.readouterr().out
