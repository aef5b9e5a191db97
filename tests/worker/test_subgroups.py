"""Subgroups through a worker: the base first, its scores once, and everything that can be wrong with a base."""

from typing import Any

import pytest
import sqlalchemy as sa

from noisegate.details import Details
from noisegate.errors import InvalidSpec, NotReady
from noisegate.evaluation.scored_images import scores_from_bytes
from noisegate.seeds import derive_seed
from noisegate.spec.caps import Caps
from noisegate.store import claims, executions, experiments, expiry, planning
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from noisegate.store.wakeups import TRAIN
from tests import factories
from tests.worker.conftest import on_both_databases
from worker.resources import Resources
from worker.training import train_oldest

# A rate at which nothing is learnt: every image gets one class, so half of them are right.
DULL = {"epochs": 1, "learning_rate": 1e-9}
HALF = {"correct": "hc", "wrong": "hs", "fraction": 0.5}


@pytest.fixture
def dataset(resources: Resources) -> str:
    with resources.sessions.begin() as session:
        return factories.stored_dataset(session, resources.artefacts).id


def post(resources: Resources, **changes: Any) -> str:
    defaults: dict[str, Any] = {"training": DULL, "holdout": 0, "noise": None, "keep_models": "none"}
    with resources.sessions.begin() as session:
        return factories.queued_experiment(session, factories.shades_spec(**(defaults | changes))).id


def finish(resources: Resources, experiment_id: str, most: int = 20) -> tuple[Experiment, list[Execution]]:
    for _ in range(most):
        experiment, rows = look(resources, experiment_id)
        if experiment.state.terminal:
            return experiment, rows
        train_oldest(resources)
    raise AssertionError("the experiment does not end")


def look(resources: Resources, experiment_id: str) -> tuple[Experiment, list[Execution]]:
    with resources.sessions.reading() as session:
        rows = executions.of_experiment(session, experiment_id)
        for row in rows:
            assert row.cell
        return experiments.get(session, experiment_id), list(rows)


def details_of(execution: Execution) -> Details:
    assert execution.details
    return execution.details


@on_both_databases
def test_a_base_is_trained_first_and_scored_once_for_all(resources: Resources, dataset: str) -> None:
    id = post(resources, executions=2, noise={"family": "uniform"}, sweep={"subgroup": [None, HALF]})
    _, rows = look(resources, id)
    base = next(row for row in rows if row.cell.is_base)
    assert len(rows) == 5
    assert not base.cell.spec.has_noise_class
    assert [row.depends_on for row in rows if row.cell.point.get("subgroup")] == [base.id, base.id]
    experiment, rows = finish(resources, id)
    assert experiment.state is State.SUCCEEDED
    base, *_ = [row for row in rows if row.cell.is_base]
    assert base.scores_digest is not None
    scored = scores_from_bytes(resources.artefacts.read(base.scores_digest))
    counts = details_of(base).scored
    assert counts is not None
    assert (counts.correct, counts.wrong) == (60, 60)
    assert int(scored.correct.sum()) == 60
    chosen = [details_of(row).subgroup for row in rows if row.depends_on]
    assert chosen[0] == chosen[1]
    assert chosen[0] is not None
    assert (chosen[0].size, chosen[0].duplicates, chosen[0].correct, chosen[0].wrong) == (60, 0, 30, 30)
    assert chosen[0].classes == {"dark": 30, "bright": 30}
    started = {row.id: row.started_at for row in rows}
    assert all(started[row.id] >= base.finished_at for row in rows if row.depends_on)  # type: ignore[operator]


def test_a_cell_on_all_images_without_noise_is_the_base_itself(resources: Resources, dataset: str) -> None:
    id = post(resources, executions=2, sweep={"subgroup": [HALF, None]})
    _, rows = look(resources, id)
    assert [row.cell.is_base for row in rows] == [False] * 4
    base = next(row for row in rows if row.cell.position == 1 and row.position == 0)
    assert base.seed == derive_seed(0, "execution", 1, 0)
    assert {row.depends_on for row in rows if row.cell.position == 0} == {base.id}
    experiment, _ = finish(resources, id)
    assert experiment.state is State.SUCCEEDED


@on_both_databases
def test_nothing_that_waits_for_a_base_can_be_claimed(resources: Resources, dataset: str) -> None:
    id = post(resources, executions=3, subgroup=HALF)
    with resources.sessions.begin() as session:
        (first, _) = factories.claim_one(session)
        assert first.cell.is_base
        assert claims.claim(session, owner="other", lease_seconds=30, capacity=9) == []
        assert executions.count_waiting(session, most=9) == 0
        assert expiry.overdue(session, wakeup_seconds=-10, limit=9) == []
    assert look(resources, id)[0].state is State.RUNNING


def test_whoever_ends_a_base_wakes_as_many_as_there_is_work_for(resources: Resources, dataset: str) -> None:
    post(resources, executions=3, noise={"family": "uniform"}, sweep={"subgroup": [HALF, HALF | {"fraction": 0.6}]})
    train_oldest(resources)
    assert resources.wakeups.waiting(TRAIN) == 6
    train_oldest(resources)
    assert resources.wakeups.waiting(TRAIN) == 7, "and then one message for each that is taken"


def test_an_earlier_execution_is_reused_whether_scored_or_only_kept(resources: Resources, dataset: str) -> None:
    earlier = post(resources, keep_models="all")
    finish(resources, earlier)
    reference = {"experiment": earlier, "cell": 0, "execution": 0}
    for seed in (1, 2):
        experiment, rows = finish(resources, post(resources, subgroup=HALF, base=reference, seed=seed))
        assert experiment.state is State.SUCCEEDED
        assert len(rows) == 1
    _, (base,) = look(resources, earlier)
    assert base.scores_digest is not None, "scored from its model, once"
    assert details_of(base).scored is not None
    assert resources.artefacts.path(base.scores_digest).exists()


def test_scores_from_the_kept_model_are_those_of_its_training(resources: Resources, dataset: str) -> None:
    earlier = post(resources, keep_models="all", sweep={"subgroup": [None, HALF]})
    _, rows = finish(resources, earlier)
    base = rows[0]
    digest = base.scores_digest
    assert digest is not None
    with resources.sessions.begin() as session:
        session.execute(sa.update(Execution).where(Execution.id == base.id).values(scores_digest=None))
    reference = {"experiment": earlier, "cell": 0, "execution": 0}
    finish(resources, post(resources, subgroup=HALF, base=reference, seed=5))
    assert look(resources, earlier)[1][0].scores_digest == digest


def test_a_perfect_base_fails_its_subgroups_with_the_reason(resources: Resources, dataset: str) -> None:
    experiment, rows = finish(resources, post(resources, training={}, subgroup=HALF, sweep={"subgroup": [None, HALF]}))
    assert experiment.state is State.FAILED
    assert [row.state for row in rows] == [State.SUCCEEDED, State.FAILED]
    assert rows[1].error is not None
    (problem,) = rows[1].error.errors
    assert problem.field == "subgroup.wrong"
    assert "misclassifies none" in problem.message
    # Whoever names that base later is told at once.
    with pytest.raises(InvalidSpec, match="misclassifies none"):
        post(resources, subgroup=HALF, base={"experiment": experiment.id})


@on_both_databases
def test_a_failed_base_fails_what_waits_for_it(resources: Resources, dataset: str) -> None:
    id = post(resources, training={"learning_rate": 1e9}, executions=2, subgroup=HALF)
    experiment, rows = finish(resources, id, most=2)
    assert experiment.state is State.FAILED
    assert [row.error and row.error.code for row in rows] == ["base-failed", "base-failed", "diverged"]
    assert all(row.finished_at for row in rows)


def test_a_cancelled_experiment_leaves_nothing_waiting(resources: Resources, dataset: str) -> None:
    id = post(resources, executions=2, subgroup=HALF)
    with resources.sessions.begin() as session:
        factories.claim_one(session)
        assert experiments.cancel(session, id).state is State.CANCELLING
    _, rows = look(resources, id)
    assert [row.state for row in rows] == [State.CANCELLED, State.CANCELLED, State.RUNNING]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"experiment": "exp_nowhere"}, "there is no execution"),
        ({"cell": 7}, "there is no execution"),
        ({"execution": 3}, "there is no execution"),
        ({}, "neither its scores of the training images nor its model"),
    ],
)
def test_a_base_that_cannot_be_used_is_refused(
    resources: Resources, dataset: str, reference: dict[str, Any], words: str
) -> None:
    earlier = post(resources)
    finish(resources, earlier)
    with pytest.raises(InvalidSpec, match=words) as caught:
        post(resources, subgroup=HALF, base={"experiment": earlier} | reference)
    assert [error.field for error in caught.value.errors] == ["base"]


def test_a_base_on_another_dataset_unended_or_unused_is_refused(resources: Resources, dataset: str) -> None:
    earlier = post(resources)
    with pytest.raises(NotReady):
        post(resources, subgroup=HALF, base={"experiment": earlier})
    with pytest.raises(InvalidSpec, match="used by no cell"):
        post(resources, base={"experiment": earlier})
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts, "others", train_count=60)
    with pytest.raises(InvalidSpec, match="was trained on 'shades', not on 'others'"):
        post(resources, dataset="others", subgroup=HALF, base={"experiment": earlier})


def test_a_subgroup_smaller_than_a_batch_is_refused_at_once(resources: Resources, dataset: str) -> None:
    with pytest.raises(InvalidSpec, match="fewer than a batch of 20") as caught:
        post(resources, subgroup=HALF | {"fraction": 0.1})
    assert [error.field for error in caught.value.errors] == ["subgroup.fraction"]
    with resources.sessions.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Experiment)) == 0


def test_the_plan_counts_the_base(resources: Resources, dataset: str) -> None:
    with resources.sessions.reading() as session:
        spec = factories.shades_spec(training=DULL, holdout=0, noise=None, executions=3, subgroup=HALF)
        found = planning.plan(session, spec, Caps())
    assert found.executions == 4
    assert found.total_training_images == 3 * 60 + 120


def test_scores_are_no_leftover_while_a_row_names_them(resources: Resources, dataset: str) -> None:
    _, rows = finish(resources, post(resources, subgroup=HALF))
    kept = {path.name for path in (resources.artefacts.root / "sha256").rglob("*") if path.is_file()}
    named = {row.scores_digest for row in rows if row.scores_digest}
    with resources.sessions.reading() as session:
        shades = experiments.get(session, rows[0].experiment_id).dataset
        assert shades is not None
    assert kept == named | {shades.images_digest, shades.labels_digest}
