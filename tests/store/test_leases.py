"""Claims: one holder at a time, a fence against the past, and losses that are noticed."""

import threading
from collections import Counter

import pytest
import sqlalchemy as sa

from noisegate.details import Details, EarlyStopping
from noisegate.store import claims, datasets, events, executions, experiments, expiry, ingestions, leases
from noisegate.store.leases import Lease, LeaseLost, Renewed
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from noisegate.store.tables import Execution
from tests import factories
from tests.conftest import wait_until

LOST = factories.failure(detail="lost")
EXPIRED = -1.0  # seconds: a lease that has run out when it is granted


def test_claims_give_every_cell_its_first_execution_first(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session)
        order = [factories.claim_one(session)[0] for _ in range(4)]
    assert [(execution.cell.position, execution.position) for execution in order] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_a_claim_of_several_stays_within_one_cell(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(executions=5))
        claimed = claims.claim(session, owner="gpu", lease_seconds=30, capacity=3)
        assert claimed is not None
        rows = [execution for execution, _ in claims.rows_of(session, claimed)]
    assert [execution.position for execution in rows] == [0, 1, 2]
    assert len({execution.cell_id for execution in rows}) == 1
    assert {execution.state for execution in rows} == {State.RUNNING}


def test_nothing_waits_nothing_is_claimed(sessions: Sessions) -> None:
    with sessions.begin() as session:
        assert claims.claim(session, owner="w", lease_seconds=30, capacity=1) == []


def test_threads_claim_each_execution_exactly_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(executions=15))
    found: list[str] = []

    def claim_all(owner: str) -> None:
        while True:
            with sessions.begin() as session:
                claimed = claims.claim(session, owner=owner, lease_seconds=30, capacity=2)
            if claimed is None:
                continue
            if not claimed:
                return
            found.extend(lease.id for lease in claimed)

    threads = [threading.Thread(target=claim_all, args=(f"w{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 30
    assert max(Counter(found).values()) == 1


def test_a_lost_lease_waits_again_and_its_old_holder_is_refused(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session, factories.spec(sweep={}, executions=1))
        _, zombie = factories.claim_one(session, "zombie", EXPIRED)
    with sessions.begin() as session:
        reaped = expiry.reap(session, lease_seconds=60, max_losses=3, error=LOST)
    assert reaped.requeued == [zombie.id]
    with sessions.begin() as session:
        _, heir = factories.claim_one(session, "heir")
    assert heir.attempt == zombie.attempt + 1
    with pytest.raises(LeaseLost), sessions.begin() as session:
        executions.record_success(session, zombie, factories.outcome(accuracy=0.1))
    with pytest.raises(LeaseLost), sessions.begin() as session:
        factories.renew(session, zombie, 30)
    with sessions.begin() as session:
        executions.record_success(session, heir, factories.outcome(accuracy=0.9))
    with sessions.reading() as session:
        (execution,) = executions.of_experiment(session, experiment.id)
        assert execution.metrics is not None
        assert execution.metrics.accuracy == 0.9
        assert experiments.get(session, experiment.id).state is State.SUCCEEDED


def test_the_same_owner_cannot_write_with_an_old_attempt(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(sweep={}, executions=1))
        _, first = factories.claim_one(session, "w", EXPIRED)
        expiry.reap(session, lease_seconds=60, max_losses=3, error=LOST)
        _, second = factories.claim_one(session, "w")
    with pytest.raises(LeaseLost), sessions.begin() as session:
        executions.record_success(session, first, factories.outcome())
    with sessions.begin() as session:
        executions.record_success(session, second, factories.outcome())


def test_a_result_is_recorded_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session)
        _, lease = factories.claim_one(session)
        executions.record_success(session, lease, factories.outcome())
    with pytest.raises(LeaseLost), sessions.begin() as session:
        executions.record_success(session, lease, factories.outcome())


def test_a_renewed_lease_is_not_reaped(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session)
        _, lease = factories.claim_one(session, "w", EXPIRED)
        assert factories.renew(session, lease, 30, epochs_done=1, images_per_second=50.0)
        assert expiry.reap(session, lease_seconds=60, max_losses=3, error=LOST).requeued == []
        execution = session.get_one(Execution, lease.id, populate_existing=True)
    assert (execution.epochs_done, execution.images_per_second) == (1, 50.0)


def _three_held(sessions: Sessions) -> list[Lease]:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(sweep={}, executions=3))
        granted = claims.claim(session, owner="gpu", lease_seconds=30, capacity=3)
        assert granted is not None
        return [lease for _, lease in claims.rows_of(session, granted)]


def _take_away(sessions: Sessions, lease: Lease) -> None:
    with sessions.begin() as session:
        leases.renew(session, Execution, lease, lease_seconds=-1)
        assert expiry.reap(session, lease_seconds=60, max_losses=3, error=LOST).requeued == [lease.id]


def test_of_leases_renewed_together_a_lost_one_goes_alone(sessions: Sessions) -> None:
    held = first, second, third = _three_held(sessions)
    _take_away(sessions, second)
    progress = {
        lease.id: {"epochs_done": 2, "images_per_second": 10.0 * n, "losses_by_epoch": [0.5, 0.25]}
        for n, lease in enumerate(held, 1)
    }
    stopping = EarlyStopping(best_epoch=1, holdout_losses=[0.75, None])
    progress[third.id] |= {"details": Details(early_stopping=stopping)}
    with sessions.begin() as session:
        executions.renew_all(session, [first], 10, {first.id: {"epochs_done": 1, "losses_by_epoch": [0.5]}})
    with sessions.begin() as session:
        before = {id: session.get_one(Execution, id).lease_until or 0 for id in (first.id, third.id)}
        assert executions.renew_all(session, held, 60, progress) == Renewed((second,), may_go_on=True)
    with sessions.begin() as session:
        assert executions.renew_all(session, held, 90, {}) == Renewed((second,), may_go_on=True)
    with sessions.reading() as session:
        rows = {lease.id: session.get_one(Execution, lease.id) for lease in held}
        told = events.after(session, rows[first.id].experiment_id, 0, limit=99)
    assert all((rows[id].lease_until or 0) > until + 45 for id, until in before.items())
    assert [(rows[lease.id].state.value, rows[lease.id].epochs_done) for lease in held] == [
        ("running", 2),
        ("queued", 0),
        ("running", 2),
    ]
    assert [event.number for event in told] == list(range(1, len(told) + 1))
    epochs = [event.data for event in told if event.type == "epoch" and "state" not in event.data]
    assert [(data["execution"], data["epoch"], data["images_per_second"]) for data in epochs] == [
        (0, 1, None),
        (0, 2, 10.0),
        (2, 2, 30.0),
    ]
    assert [(data["losses"], data.get("holdout_losses")) for data in epochs] == [
        ([0.5], None),
        ([0.25], None),
        ([0.5, 0.25], [0.75, None]),
    ], "each epoch is told once"


def test_what_is_to_be_started_again_has_no_losses(sessions: Sessions) -> None:
    given_back, lost, _ = _three_held(sessions)
    progress = {"epochs_done": 1, "losses_by_epoch": [0.5]}
    with sessions.begin() as session:
        executions.renew_all(session, [given_back, lost], 60, {given_back.id: progress, lost.id: progress})
    with sessions.begin() as session:
        executions.release(session, given_back)
    _take_away(sessions, lost)
    with sessions.reading() as session:
        rows = [session.get_one(Execution, lease.id) for lease in (given_back, lost)]
        told = events.after(session, rows[0].experiment_id, 0, limit=99)
    assert [(row.epochs_done, row.losses_by_epoch, row.details) for row in rows] == [(0, None, None)] * 2
    again = [(event.data["execution"], event.data["epoch"]) for event in told if "state" in event.data]
    assert again == [(0, 0), (1, 0)], "and open pages are told"


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_a_renewal_cannot_block_a_result_that_is_being_recorded(sessions: Sessions) -> None:
    held = _three_held(sessions)
    third = held[2]
    progress = {lease.id: {"epochs_done": 1, "images_per_second": 10.0} for lease in held}
    found: list[Renewed] = []

    def beat() -> None:
        with sessions.begin() as session:
            found.append(executions.renew_all(session, held, 60, progress))

    def blocked() -> bool:
        with sessions.reading() as session:
            return bool(session.scalar(sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    thread = threading.Thread(target=beat)
    with sessions.begin() as session:
        execution = session.get_one(Execution, third.id)
        experiments.lock(session, execution.experiment_id)
        thread.start()
        wait_until(blocked, seconds=10, what="the renewal waits for the experiment")
        executions.record_success(session, third, factories.outcome())
    thread.join(timeout=20)
    assert found == [Renewed((third,), may_go_on=True)]


def test_a_claim_looks_at_neither_what_is_held_nor_at_more_than_the_next(sessions: Sessions) -> None:
    """By the plan of its statement: an index that has the order, and nothing to be sorted."""
    with sessions.begin() as session:
        factories.ready_dataset(session)
        held = factories.queued_experiment(session, factories.spec(image_size=64, executions=100))
        factories.queued_experiment(session, factories.spec(executions=100, seed=1))
        assert executions.count_waiting(session, most=999) == 200
    waiting = (
        sa.select(Execution.id)
        .where(leases.waiting(Execution), Execution.experiment_id == held.id)
        .order_by(Execution.place)
        .limit(1)
    )
    with sessions.begin() as session:
        session.execute(sa.text("ANALYZE"))
        dialect = session.get_bind().dialect
        explain = "EXPLAIN" if dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        statement = waiting.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        session.execute(sa.text("SET enable_seqscan = off")) if dialect.name == "postgresql" else None
        plan = "\n".join(str(row) for row in session.execute(sa.text(f"{explain} {statement}")))
    assert "ix_executions_waiting" in plan
    assert "sort" not in plan.lower()
    assert "temp b-tree" not in plan.lower()


def test_losses_are_capped(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session, factories.spec(sweep={}, executions=1))
    for _ in range(2):
        with sessions.begin() as session:
            factories.claim_one(session, "w", EXPIRED)
            assert len(expiry.reap(session, lease_seconds=60, max_losses=3, error=LOST).requeued) == 1
    with sessions.begin() as session:
        factories.claim_one(session, "w", EXPIRED)
        assert len(expiry.reap(session, lease_seconds=60, max_losses=3, error=LOST).failed) == 1
    with sessions.reading() as session:
        (execution,) = executions.of_experiment(session, experiment.id)
        assert (execution.state, execution.error, execution.losses) == (
            State.FAILED,
            LOST.model_copy(update={"worker": "w"}),
            3,
        )
        assert experiments.get(session, experiment.id).state is State.FAILED


def test_a_lease_given_back_is_no_loss(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session)
        for _ in range(5):
            execution, lease = factories.claim_one(session)
            executions.release(session, lease)
        session.refresh(execution)
    assert (execution.state, execution.losses, execution.attempt, execution.owner) == (State.QUEUED, 0, 5, None)


def test_wakeups_become_overdue_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session)
        assert expiry.overdue(session, wakeup_seconds=30, limit=10) == []
        assert len(expiry.overdue(session, wakeup_seconds=-1, limit=3)) == 3
        waiting = datasets.register(session, name="new", source="digits", image_size=32, upload_digest=None).dataset
        assert ingestions.overdue(session, wakeup_seconds=-1) == [waiting.id]


def test_ingestions_are_leased_alike(sessions: Sessions) -> None:
    with sessions.begin() as session:
        waiting = datasets.register(session, name="new", source="digits", image_size=32, upload_digest=None).dataset
        claimed = ingestions.claim(session, None, owner="w", lease_seconds=EXPIRED)
        assert claimed is not None
        zombie = claimed[1]
        assert ingestions.claim(session, waiting.id, owner="other", lease_seconds=30) is None
        assert ingestions.reap(session, lease_seconds=60, max_losses=2, error=LOST).waiting == [waiting.id]
        again = ingestions.claim(session, waiting.id, owner="w", lease_seconds=EXPIRED)
        assert again is not None
    with pytest.raises(LeaseLost), sessions.begin() as session:
        ingestions.record_ready(session, zombie, factories.packed())
    with sessions.begin() as session:
        assert ingestions.reap(session, lease_seconds=60, max_losses=2, error=LOST).waiting == []
    with sessions.reading() as session:
        assert datasets.page(session, cursor=None, limit=9).items[0].error == LOST


def test_writing_needs_a_lease_that_still_stands(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session)
        _, lease = factories.claim_one(session)
        executions.release(session, lease)
    with pytest.raises(LeaseLost), sessions.begin() as session:
        leases.renew(session, Execution, lease, 30)
