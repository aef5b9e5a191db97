"""Executions that are claimed together: how many, what comes of each, and what a GPU's memory has to say."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from noisegate.learning import training
from noisegate.learning.batches import Batch
from noisegate.learning.cells import prepare_cell
from noisegate.learning.engines import Engine, build_engine
from noisegate.learning.export import export_model
from noisegate.learning.memory import GIB
from noisegate.store import executions, experiments, expiry, leases, models
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from tests import factories
from tests.worker.conftest import on_both_databases
from worker import cells
from worker.checkpoints import Checkpoints
from worker.resources import Resources
from worker.training import train_oldest

H200 = 139 * GIB


@pytest.fixture
def stacking(resources: Resources) -> Resources:
    """A worker that trains three at once as a stack, as one with a GPU would many."""
    return changed(resources, engine="multiplied", claim_capacity=3)


def changed(resources: Resources, **changes: Any) -> Resources:
    settings = resources.settings.model_copy(update=changes)
    return Resources(settings, resources.sessions, resources.artefacts, resources.wakeups, resources.worker)


def post(resources: Resources, **changes: Any) -> str:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
        return factories.queued_experiment(session, factories.shades_spec(**changes)).id


def rows(resources: Resources, id: str) -> tuple[Experiment, list[Execution]]:
    with resources.sessions.reading() as session:
        return experiments.get(session, id), list(executions.of_experiment(session, id))


def count_calls(monkeypatch: pytest.MonkeyPatch, place: str, function: Callable[..., Any]) -> list[int]:
    calls: list[int] = []

    @functools.wraps(function)
    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        return function(*arguments, **named)

    monkeypatch.setattr(place, counted)
    return calls


def test_a_cell_is_trained_in_one_go(stacking: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = count_calls(monkeypatch, "worker.kinds.classifiers.export_model", export_model)
    id = post(stacking, executions=3)
    train_oldest(stacking)
    experiment, found = rows(stacking, id)
    assert experiment.state is State.SUCCEEDED
    assert [(one.state, one.attempt, one.versions["engine"]) for one in found if one.versions] == [
        (State.SUCCEEDED, 1, "multiplied")
    ] * 3
    assert len({str(one.losses_by_epoch) for one in found}) == 3
    with stacking.sessions.reading() as session:
        (kept,) = models.page(session, experiment_id=id, cursor=None, limit=9).items
    assert kept.holdout_accuracy == max(one.holdout_accuracy or 0 for one in found)
    assert len(exported) == 1, "the best came first, and nothing was exported to be replaced"


def test_a_stack_gives_the_results_of_single_runs(stacking: Resources) -> None:
    together = post(stacking, executions=3)
    train_oldest(stacking)
    alone = changed(stacking, engine="auto", claim_capacity=1)
    with alone.sessions.begin() as session:
        id = factories.queued_experiment(session, factories.shades_spec(executions=3)).id
    for _ in range(3):
        train_oldest(alone)
    for one, other in zip(rows(alone, id)[1], rows(stacking, together)[1], strict=True):
        assert one.losses_by_epoch == pytest.approx(other.losses_by_epoch, rel=1e-3, abs=1e-4)
        assert one.metrics is not None
        assert other.metrics is not None
        assert one.metrics.accuracy == pytest.approx(other.metrics.accuracy, abs=0.05)


class Breaking(Engine):
    """An engine whose first network breaks at its third step."""

    def __init__(self, engine: Engine, states: Any) -> None:
        self._engine, self._states, self._steps = engine, states, itertools.count(1)

    def set_learning_rate(self, rate: float) -> None:
        self._engine.set_learning_rate(rate)

    def step(self, batch: Batch) -> None:
        if next(self._steps) == 3:
            with torch.no_grad():
                next(self._states[0].module.parameters()).fill_(torch.nan)
        self._engine.step(batch)

    def take_losses(self) -> torch.Tensor:
        return self._engine.take_losses()

    @property
    def logits(self) -> torch.Tensor:
        return self._engine.logits


def test_one_that_diverges_fails_alone(stacking: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []

    def break_the_first(*arguments: Any) -> Engine:
        built.append(arguments)
        whole = build_engine(*arguments)
        return Breaking(whole, arguments[2]) if len(built) == 1 else whole

    monkeypatch.setattr(training, "build_engine", break_the_first)
    id = post(stacking, executions=3)
    train_oldest(stacking)
    _, (broken, *others) = rows(stacking, id)
    assert (broken.state, broken.error and broken.error.code) == (State.FAILED, "diverged")
    assert [one.state for one in others] == [State.SUCCEEDED] * 2
    assert all(one.metrics and one.metrics.accuracy == 1.0 for one in others)


def test_one_whose_export_fails_fails_alone(stacking: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def refuse_the_first(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("cannot be exported")
        return export_model(*arguments, **named)

    monkeypatch.setattr("worker.kinds.classifiers.export_model", refuse_the_first)
    id = post(stacking, executions=3)
    train_oldest(stacking)
    assert sorted(one.state for one in rows(stacking, id)[1]) == [State.FAILED, State.SUCCEEDED, State.SUCCEEDED]


def test_trouble_with_one_is_no_trouble_of_the_others(stacking: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is renewed no more, so that another worker may try; theirs are recorded."""
    calls: list[int] = []

    def no_disk_at_first(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")
        return export_model(*arguments, **named)

    monkeypatch.setattr("worker.kinds.classifiers.export_model", no_disk_at_first)
    id = post(stacking, executions=3, keep_models="all")
    train_oldest(stacking)
    troubled, *others = sorted(rows(stacking, id)[1], key=lambda one: one.state is State.SUCCEEDED)
    assert (troubled.state, troubled.error and "Input/output" in troubled.error.detail) == (State.RUNNING, True)
    assert [one.state for one in others] == [State.SUCCEEDED] * 2


@on_both_databases
def test_one_that_was_taken_away_is_refused_and_the_others_recorded(
    stacking: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = post(stacking, executions=3, keep_models="all")
    taken: list[str] = []

    def take_the_first_away(*arguments: Any, **named: Any) -> Any:
        if not taken:
            first = min(rows(stacking, id)[1], key=lambda one: one.position)
            taken.append(first.id)
            with stacking.sessions.begin() as session:
                lease = leases.Lease(first.id, first.owner or "", first.attempt)
                leases.renew(session, Execution, lease, lease_seconds=-1)
                expiry.reap(session, lease_seconds=20, max_losses=9, error=factories.failure())
        return export_model(*arguments, **named)

    monkeypatch.setattr("worker.kinds.classifiers.export_model", take_the_first_away)
    train_oldest(stacking)
    first, *others = rows(stacking, id)[1]
    assert (first.state, first.metrics, first.losses) == (State.QUEUED, None, 1)
    assert [one.state for one in others] == [State.SUCCEEDED] * 2


class KilledHere(BaseException):
    """Stands for SIGKILL: nothing of the product catches it, so nothing is written after it."""


def test_all_that_train_together_are_written_down_together(
    stacking: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed after epoch 7 of 12 is followed by one that trains five epochs of each."""
    worker = changed(stacking, checkpoint_seconds=1e-9)
    id = post(worker, executions=3, training={"epochs": 12})
    offered: list[tuple[int, int]] = []
    offer = Checkpoints.offer

    def offer_then_die(self: Checkpoints, progress: Any, snapshot: Any) -> None:
        offered.append((progress.seed, progress.epoch))
        offer(self, progress, snapshot)
        if len(offered) == 3 * 7:
            raise KilledHere

    monkeypatch.setattr(Checkpoints, "offer", offer_then_die)
    with pytest.raises(KilledHere):
        train_oldest(worker)
    _, found = rows(worker, id)
    assert [one.checkpoint_epochs for one in found] == [7, 7, 7]
    with worker.sessions.begin() as session:
        for one in found:
            leases.renew(session, Execution, leases.Lease(one.id, one.owner or "", one.attempt), lease_seconds=-1)
        assert len(expiry.reap(session, lease_seconds=20, max_losses=9, error=factories.failure()).requeued) == 3
    train_oldest(worker)
    assert rows(worker, id)[0].state is State.SUCCEEDED
    assert [epoch for _, epoch in offered[21:]] == [epoch for epoch in (8, 9, 10, 11) for _ in range(3)]


def test_a_cell_is_prepared_once_and_forgotten_when_nothing_waits(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = count_calls(monkeypatch, "worker.kinds.classifiers.prepare_cell", prepare_cell)
    post(resources, executions=3)
    with resources.sessions.begin() as session:
        factories.queued_experiment(session, factories.shades_spec(executions=2))
    for expected in (1, 1, 1, 2):
        train_oldest(resources)
        assert (len(prepared), len(cells._kept)) == (expected, 1)
    train_oldest(resources)
    assert (len(prepared), cells._kept) == (2, {})
