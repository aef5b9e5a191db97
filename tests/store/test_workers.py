"""Liveness from the database: workers come, are seen with what they hold, and are forgotten."""

import sqlalchemy as sa

from noisegate.store import workers
from noisegate.store.clock import seconds_now
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Worker
from tests import factories


def _beat(sessions: Sessions, name: str) -> None:
    with sessions.begin() as session:
        workers.beat(session, name, host="h", device="cpu", processes=2, version="1")


def test_a_worker_is_seen_with_what_its_processes_hold(sessions: Sessions) -> None:
    for _ in range(2):
        _beat(sessions, "h:1:a")
    _beat(sessions, "h:1:ab")
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session)
        held, _ = factories.claim_one(session, "h:1:a/7")
        factories.claim_one(session, "gone/7")
    with sessions.reading() as session:
        first, second = workers.seen(session)
        assert workers.any_alive(session, within_seconds=20)
    assert (first.worker.name, [row.id for row in first.executions]) == ("h:1:a", [held.id])
    assert second.executions == []
    assert 0 <= first.heartbeat_age < 20


def test_one_that_ended_in_order_is_gone_and_one_that_did_not_is_shown_for_an_hour(sessions: Sessions) -> None:
    for name in ("orderly", "silent", "forgotten"):
        _beat(sessions, name)
    with sessions.begin() as session:
        workers.leave(session, "orderly")
        for name, age in (("silent", 1800), ("forgotten", 3700)):
            session.execute(sa.update(Worker).where(Worker.name == name).values(beat_at=seconds_now() - age))
        workers.forget(session)
    with sessions.reading() as session:
        (left,) = workers.seen(session)
        assert not workers.any_alive(session, within_seconds=20)
    assert left.worker.name == "silent"
    assert 1790 < left.heartbeat_age < 1900
