"""What is lost is found, what is not is left alone, and no clock but the database's is asked."""

import pytest
import sqlalchemy as sa

from noisegate.api.problems import Failure
from noisegate.store import datasets, events, executions, experiments, expiry, ingestions, leases
from noisegate.store.clock import seconds_now
from noisegate.store.leases import Lease, LeaseLost
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from noisegate.store.tables import Dataset, Execution, Experiment
from tests import factories

LEASE = 20.0
LOST = factories.failure()


def _reap(sessions: Sessions, max_losses: int = 3) -> expiry.ReapedExecutions:
    with sessions.begin() as session:
        return expiry.reap(session, lease_seconds=LEASE, max_losses=max_losses, error=LOST)


def _two_claims(sessions: Sessions) -> tuple[Lease, Lease]:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(sweep={}, executions=2))
        return tuple(factories.claim_one(session, owner, LEASE)[1] for owner in ("w_1/11", "w_1/12"))  # type: ignore[return-value]


def test_only_what_dead_processes_of_this_worker_held_is_lost_and_at_once(sessions: Sessions) -> None:
    dead, alive = _two_claims(sessions)
    asked: list[int] = []

    def describe(process: int) -> Failure:
        asked.append(process)
        return factories.failure(detail="killed")

    with sessions.begin() as session:
        # The underscore of another worker's name is no wildcard.
        assert expiry.owners(session, "wx1") == set()
        assert expiry.owners(session, "w_1") == {"w_1/11", "w_1/12"}
        assert not session.scalar(sa.select(expiry.any_expired(LEASE)))
        assert expiry.expire(session, {"w_1/11", "w_1/13"}, describe) == [dead.id]
        assert session.scalar(sa.select(expiry.any_expired(LEASE)))
    assert asked == [11, 13]
    assert _reap(sessions, max_losses=1).failed == [dead.id]
    with sessions.begin() as session:
        row = session.get_one(Execution, dead.id)
        assert row.error == factories.failure(detail="killed", worker="w_1/11")
        assert factories.renew(session, alive, LEASE)


def test_what_a_process_noted_before_it_died_says_more_than_how_it_died(sessions: Sessions) -> None:
    troubled, silent = _two_claims(sessions)
    noted = factories.failure("unexpected", "CUDA error", worker=troubled.owner)
    with sessions.begin() as session:
        executions.note_failure(session, troubled, noted)
        expiry.expire(session, {troubled.owner, silent.owner}, lambda _: LOST)
    with sessions.reading() as session:
        assert session.get_one(Execution, troubled.id).error == noted
        assert session.get_one(Execution, silent.id).error == factories.failure(worker=silent.owner)
    assert sorted(_reap(sessions).requeued) == sorted([troubled.id, silent.id])
    with sessions.begin() as session:
        execution, heir = factories.claim_one(session, "w_1/13", LEASE)
        assert execution.id == troubled.id
        expiry.expire(session, {heir.owner}, lambda _: LOST)
    assert _reap(sessions, max_losses=2).failed == [troubled.id]
    with sessions.reading() as session:
        assert session.get_one(Execution, troubled.id).error == factories.failure(worker=heir.owner), (
            "not what its first met"
        )


def test_a_dead_process_of_an_ingestion_is_noticed_too(sessions: Sessions) -> None:
    with sessions.begin() as session:
        waiting = datasets.register(
            session, name="pets", source="upload", image_size=32, upload_digest="a" * 64
        ).dataset
        ingestions.claim(session, waiting.id, owner="w/1", lease_seconds=LEASE)
        assert expiry.owners(session, "w") == {"w/1"}
        assert ingestions.expire(session, {"w/2"}) == []
        assert ingestions.expire(session, {"w/1"}) == [waiting.id]
        assert session.scalar(sa.select(expiry.any_expired(LEASE)))
        reaped = ingestions.reap(session, lease_seconds=LEASE, max_losses=3, error=LOST)
        assert reaped.waiting == [waiting.id]
        assert session.get_one(Dataset, waiting.id, populate_existing=True).owner is None


@pytest.mark.parametrize(("ahead", "lost"), [(-1, True), (LEASE, False), (1.9 * LEASE, False), (300, True)])
def test_a_lease_that_no_renewal_could_have_given_is_lost(sessions: Sessions, ahead: float, lost: bool) -> None:
    """The database's clock was put back by five minutes: a dead worker's lease must not last five minutes more."""
    lease, other = _two_claims(sessions)
    with sessions.begin() as session:
        session.execute(sa.update(Execution).where(Execution.id == lease.id).values(lease_until=seconds_now() + ahead))
    assert _reap(sessions).requeued == ([lease.id] if lost else [])
    if lost:
        with pytest.raises(LeaseLost), sessions.begin() as session:
            executions.record_success(session, lease, factories.outcome())
    with sessions.begin() as session:
        executions.record_success(session, other, factories.outcome())


def test_a_checkpoint_outlives_its_writer_and_ends_with_the_execution(sessions: Sessions) -> None:
    lease, _ = _two_claims(sessions)
    with sessions.begin() as session:
        assert executions.note_checkpoint(session, lease, "a" * 64, 1) is None
        assert executions.note_checkpoint(session, lease, "b" * 64, 2) == "a" * 64
        leases.renew(session, Execution, lease, lease_seconds=-1)
    assert _reap(sessions).requeued == [lease.id]
    with pytest.raises(LeaseLost), sessions.begin() as session:
        executions.note_checkpoint(session, lease, "c" * 64, 3)
    with sessions.begin() as session:
        execution, heir = factories.claim_one(session, "w_1/13")
        assert (execution.id, execution.epochs_done, execution.checkpoint_digest) == (lease.id, 2, "b" * 64)
        assert executions.checkpoint_of(session, heir) == ["b" * 64]
        executions.record_success(session, heir, factories.outcome())
        assert executions.checkpoint_of(session, heir) == []


def test_a_deadline_cancels_what_has_not_ended_and_says_why(sessions: Sessions) -> None:
    lease, other = _two_claims(sessions)
    with sessions.begin() as session:
        late = session.scalars(sa.select(Experiment)).one()
        late.deadline = 1.0
        punctual = factories.queued_experiment(session, factories.spec(sweep={}, executions=1))
        punctual.deadline = seconds_now() + 3600
    with sessions.begin() as session:
        assert session.scalar(sa.select(experiments.any_late()))
        assert experiments.expire(session) == [late.id]
        assert not session.scalar(sa.select(experiments.any_late()))
    with sessions.begin() as session:
        assert not factories.renew(session, lease, LEASE), "whoever trains is told to stop"
        for held in (lease, other):
            executions.record_cancelled(session, held)
        assert experiments.expire(session) == [], "what has ended stays as it is"
    with sessions.reading() as session:
        ended = experiments.get(session, late.id)
        assert ended.state is State.CANCELLED
        assert ended.error is not None
        assert ended.error.code == "deadline-passed"
        types = [(event.type, event.data.get("reason")) for event in events.after(session, late.id, 0, limit=9)]
        assert ("cancelling", "deadline-passed") in types
        assert experiments.get(session, punctual.id).state is State.QUEUED
