"""Experiments: what a plan refuses, what creation writes, and how they end."""

from typing import Any

import pytest

from noisegate.errors import Conflict, InvalidSpec, NotFound, NotReady
from noisegate.seeds import derive_seed
from noisegate.spec.caps import Caps
from noisegate.spec.sweeps import value_at
from noisegate.store import claims, datasets, executions, experiments, expiry, planning
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from tests import factories


def test_creation_writes_every_cell_and_execution(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session, factories.spec(seed=7))
    with sessions.reading() as session:
        found = experiments.get(session, experiment.id, cell_specs=True)
        rows = executions.of_experiment(session, experiment.id)
        assert [cell.point for cell in found.cells] == [{"noise.quantity": 0}, {"noise.quantity": 1}]
        assert [value_at(cell.spec.model_dump(), "noise.quantity") for cell in found.cells] == [0, 1]
        places = [(row.cell.position, row.position) for row in rows]
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [row.seed for row in rows] == [derive_seed(7, "execution", *place) for place in places]
    assert len({row.seed for row in rows}) == 4


def test_the_sweep_keeps_its_order(sessions: Sessions) -> None:
    sweep = {"training.momentum": [0.9], "noise.quantity": [1], "holdout": [0.1]}
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session, factories.spec(sweep=sweep))
    with sessions.reading() as session:
        found = experiments.get(session, experiment.id)
        assert list(found.spec.sweep) == list(sweep)
        assert list(found.cells[0].point) == list(sweep)


def _refusal(sessions: Sessions, changes: dict[str, Any], caps: Caps | None = None) -> dict[str, str | None]:
    with pytest.raises(InvalidSpec) as caught, sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(**changes), caps)
    with sessions.reading() as session:
        assert experiments.page(session, state=None, cursor=None, limit=10).items == []
    return {error.field: error.remedy for error in caught.value.errors}


def test_a_plan_names_the_field_and_the_remedy(sessions: Sessions) -> None:
    assert "POST /datasets" in str(_refusal(sessions, {"dataset": "unknown"})["dataset"])
    assert "several experiments" in str(_refusal(sessions, {}, Caps(cells=1))["sweep"])
    assert _refusal(sessions, {"executions": 101})["executions"] == "Ask for at most 100."
    assert _refusal(sessions, {"training": {"epochs": 501}})["training.epochs"] == "Ask for at most 500."
    swept = _refusal(sessions, {"sweep": {"noise.quantity": [1, 101]}})
    assert swept["noise.quantity"] == "Ask for at most 100."
    assert "Hold out less" in str(_refusal(sessions, {"holdout": 0.99})["holdout"])


def test_a_quantity_that_does_not_fit_is_refused_with_one_that_does(sessions: Sessions) -> None:
    # 100 training images and 50 a class, of 3,072 bytes: 200 images fit, so twice the class size.
    caps = Caps(training_bytes=200 * 3072)
    assert _refusal(sessions, {"sweep": {"noise.quantity": [3]}}, caps) == {
        "noise.quantity": "At most 2 fits with this dataset."
    }
    with sessions.begin() as session:
        factories.ready_dataset(session)
        factories.queued_experiment(session, factories.spec(sweep={"noise.quantity": [2]}), caps)


def test_a_dataset_still_being_ingested_is_worth_waiting_for(sessions: Sessions) -> None:
    with pytest.raises(NotReady) as caught, sessions.begin() as session:
        datasets.register(session, name="pets", source="digits", image_size=32, upload_digest=None)
        factories.queued_experiment(session)
    assert caught.value.retry_after_seconds > 0


def test_a_plan_counts_the_training_images(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        planned = planning.plan(session, factories.spec(holdout=0.1), Caps())
    # 2 executions × 2 epochs × (90 + 0 and 90 + 50)
    assert (planned.executions, planned.total_training_images) == (4, 2 * 2 * (90 + 140))


def test_an_experiment_ends_as_its_executions_do(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session)
        _, first = factories.claim_one(session)
        assert experiments.get(session, experiment.id).state is State.RUNNING
        executions.record_failure(session, first, factories.failure("x"))
        for _ in range(3):
            assert experiments.get(session, experiment.id).state is State.RUNNING
            executions.record_success(session, factories.claim_one(session)[1], factories.outcome())
    with sessions.reading() as session:
        ended = experiments.get(session, experiment.id)
        progress = experiments.progress(session, [experiment.id])[experiment.id]
    assert ended.state is State.FAILED
    assert ended.finished_at is not None
    assert (progress.counts[State.SUCCEEDED], progress.counts[State.FAILED]) == (3, 1)
    assert (progress.epochs_done, progress.epochs, progress.share_done, progress.share_over) == (6, 8, 0.75, 1)


def test_what_was_cancelled_tells_how_far_it_came(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        id = factories.queued_experiment(session, factories.spec(training={"epochs": 50})).id
        _, lease = factories.claim_one(session)
        factories.renew(session, lease, 30, epochs_done=3)
        experiments.cancel(session, id)
        executions.record_cancelled(session, lease, {"epochs_done": 4})
    with sessions.reading() as session:
        ended = experiments.progress(session, [id])[id]
        assert [row.epochs_done for row in executions.of_experiment(session, id)] == [4, 0, 0, 0]
    assert (ended.epochs_done, ended.epochs, ended.share_done, ended.epochs_left) == (4, 200, 0.02, 0)


def test_cancelling_stops_what_waits_and_tells_what_runs(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session)
        _, running = factories.claim_one(session)
        assert factories.renew(session, running, 30)
        assert experiments.cancel(session, experiment.id).state is State.CANCELLING
        assert experiments.cancel(session, experiment.id).state is State.CANCELLING
        assert not factories.renew(session, running, 30)
        assert claims.claim(session, owner="w", lease_seconds=30, capacity=9) == []
        executions.record_cancelled(session, running)
        assert experiments.cancel(session, experiment.id).state is State.CANCELLED


def test_cancelling_before_anything_started_ends_it_at_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        assert experiments.cancel(session, factories.queued_experiment(session).id).state is State.CANCELLED


def test_what_has_ended_cannot_be_cancelled(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session, factories.spec(sweep={}, executions=1))
        executions.record_success(session, factories.claim_one(session)[1], factories.outcome())
    with pytest.raises(Conflict), sessions.begin() as session:
        experiments.cancel(session, experiment.id)
    with pytest.raises(NotFound), sessions.begin() as session:
        experiments.cancel(session, "exp_unknown")


def test_a_worker_lost_while_cancelling_leaves_nothing_running(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        experiment = factories.queued_experiment(session)
        factories.claim_one(session, "w", lease_seconds=-1)
        experiments.cancel(session, experiment.id)
        assert len(expiry.reap(session, lease_seconds=60, max_losses=9, error=factories.failure()).cancelled) == 1
        assert experiments.get(session, experiment.id).state is State.CANCELLED


def test_pages_go_on_where_they_left_off(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        made = [factories.queued_experiment(session).id for _ in range(5)]
        seen: list[str] = []
        cursor = None
        while True:
            page = experiments.page(session, state=None, cursor=cursor, limit=2)
            seen += [experiment.id for experiment in page.items]
            if (cursor := page.next_cursor) is None:
                break
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)
