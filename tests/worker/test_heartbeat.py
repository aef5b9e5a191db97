"""The thread that holds claims: one transaction a beat, however many they are, and each is lost by itself."""

import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from noisegate.store import claims, executions, expiry, leases
from noisegate.store.leases import Lease, Renewed
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Execution
from tests import factories
from tests.conftest import PATIENCE, wait_until
from tests.worker.conftest import on_both_databases
from worker.lease import Forfeited, Heartbeat

BEAT = 0.05


@pytest.fixture
def held(sessions: Sessions) -> list[Lease]:
    """Three executions of one cell, claimed at once."""
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(sweep={}, executions=3))
        granted = claims.claim(session, owner="gpu", lease_seconds=30, capacity=3)
    assert granted is not None
    return granted


@pytest.fixture
def said() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as entries:
        yield entries


class Beats:
    """Renews for real, and knows which leases each beat that was committed was asked for."""

    def __init__(self, progress: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.asked: list[set[str]] = []
        self._progress = progress or {}

    def renew(self, session: Session, held: Sequence[Lease]) -> Renewed:
        renewed = executions.renew_all(session, held, 30, self._progress)
        self.asked.append({lease.id for lease in held})
        return renewed

    def wait(self, count: int) -> None:
        wanted = len(self.asked) + count
        wait_until(lambda: len(self.asked) >= wanted, seconds=20, what="the heart beats")


def _take_away(sessions: Sessions, lost: Sequence[Lease]) -> None:
    with sessions.begin() as session:
        for lease in lost:
            leases.renew(session, Execution, lease, lease_seconds=-1)
        expiry.reap(session, lease_seconds=60, max_losses=9, error=factories.failure())


@on_both_databases
def test_one_transaction_renews_them_all(sessions: Sessions, held: list[Lease]) -> None:
    begun: list[str] = []
    sa.event.listen(sessions.engine, "begin", lambda _: begun.append(threading.current_thread().name))
    beats = Beats()
    with Heartbeat(sessions, held, beats.renew, seconds=BEAT):
        beats.wait(3)
    assert all(asked == {lease.id for lease in held} for asked in beats.asked)
    assert begun.count("heartbeat") == len(beats.asked)


@on_both_databases
def test_a_lease_that_was_lost_is_let_go_alone(
    sessions: Sessions, held: list[Lease], said: list[MutableMapping[str, Any]]
) -> None:
    first, second, third = held
    beats = Beats()
    with Heartbeat(sessions, held, beats.renew, seconds=BEAT) as heartbeat:
        beats.wait(1)
        _take_away(sessions, [second])
        beats.wait(3)
        heartbeat.check()
        assert beats.asked[-1] == {first.id, third.id}
        _take_away(sessions, [first, third])
        beats.wait(3)
        with pytest.raises(Forfeited):
            heartbeat.check()
    lost = [entry["id"] for entry in said if entry["event"] == "lease_lost"]
    assert lost[0] == second.id
    assert sorted(lost) == sorted(lease.id for lease in held)


@on_both_databases
def test_a_lease_that_ended_with_its_result_is_not_called_lost(
    sessions: Sessions, held: list[Lease], said: list[MutableMapping[str, Any]]
) -> None:
    heartbeat: Heartbeat

    def end_and_renew(session: Session, asked: Sequence[Lease]) -> Renewed:
        # Between the beat's choice and its renewals, as when the work records a result just then.
        if held[0] in asked:
            executions.record_success(session, held[0], factories.outcome())
            heartbeat.let_go(held[0])
        return beats.renew(session, asked)

    beats = Beats()
    with Heartbeat(sessions, held, end_and_renew, seconds=BEAT) as heartbeat:
        beats.wait(3)
        heartbeat.check()
    assert beats.asked[0] == {lease.id for lease in held}
    assert beats.asked[-1] == {lease.id for lease in held[1:]}
    assert said == []


@on_both_databases
def test_a_beat_that_found_no_database_is_made_up_for(
    sessions: Sessions, held: list[Lease], said: list[MutableMapping[str, Any]]
) -> None:
    refusals = iter([sa.exc.OperationalError("UPDATE", {}, Exception("the database is restarting")), KeyError("a bug")])

    def refuse_twice(session: Session, asked: Sequence[Lease]) -> Renewed:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        return beats.renew(session, asked)

    beats = Beats()
    with Heartbeat(sessions, held, refuse_twice, seconds=BEAT) as heartbeat:
        beats.wait(2)
        heartbeat.check()
    assert beats.asked[0] == {lease.id for lease in held}
    assert [entry["event"] for entry in said] == ["renewal_postponed", "renewal_failed"]


@on_both_databases
def test_what_is_held_later_is_renewed_too(sessions: Sessions, held: list[Lease]) -> None:
    first, *companions = held
    beats = Beats()
    with Heartbeat(sessions, [first], beats.renew, seconds=BEAT) as heartbeat:
        beats.wait(1)
        heartbeat.hold(held)
        beats.wait(2)
        heartbeat.let_go(companions[0])
        beats.wait(2)
    assert beats.asked[0] == {first.id}
    assert {lease.id for lease in held} in beats.asked
    assert beats.asked[-1] == {first.id, companions[1].id}
    assert heartbeat.held == sorted([first, companions[1]], key=lambda lease: lease.id)


def test_news_is_told_before_its_time_and_not_too_often(sessions: Sessions, held: list[Lease]) -> None:
    beats = Beats()
    began = time.monotonic()
    with Heartbeat(sessions, held, beats.renew, seconds=600) as heartbeat:
        for _ in range(50):
            heartbeat.tell_soon()
            time.sleep(0.02)
        beats.wait(1)
        told = time.monotonic() - began
    assert 0.8 <= told < 1.5 * PATIENCE
    assert len(beats.asked) <= 2, "fifty epochs of a second are told once or twice"
