"""Executions that are claimed together: how many, what comes of each, and what a GPU's memory has to say."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from noisegate.learning import training
from noisegate.learning.engines import Engine, build_engine
from noisegate.learning.executions import prepare_cell
from noisegate.learning.export import export_model
from noisegate.learning.memory import GIB, InsufficientMemory
from noisegate.learning.training import Together
from noisegate.spec import ClassifierExperiment, parse_spec
from noisegate.store import executions, experiments, leases, losses, models
from noisegate.store.settings import Settings
from noisegate.store.states import State
from noisegate.store.tables import Dataset, Execution, Experiment
from tests import factories
from worker import cells
from worker.checkpoints import Checkpoints
from worker.claiming import claim_oldest
from worker.devices import Placing, claim_capacity, place
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
    exported = count_calls(monkeypatch, "worker.classifiers.export_model", export_model)
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
        assert one.metrics["accuracy"] == pytest.approx(other.metrics["accuracy"], abs=0.05)


class Breaking(Engine):
    """An engine whose first network breaks at its third step."""

    def __init__(self, engine: Engine, states: Any) -> None:
        self._engine, self._states, self._steps = engine, states, itertools.count(1)

    def set_learning_rate(self, rate: float) -> None:
        self._engine.set_learning_rate(rate)

    def step(self, batches: torch.Tensor) -> None:
        if next(self._steps) == 3:
            with torch.no_grad():
                next(self._states[0].module.parameters()).fill_(torch.nan)
        self._engine.step(batches)

    def take_losses(self) -> torch.Tensor:
        return self._engine.take_losses()


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
    assert (broken.state, broken.error and broken.error["code"]) == (State.FAILED, "diverged")
    assert [one.state for one in others] == [State.SUCCEEDED] * 2
    assert all(one.metrics and one.metrics["accuracy"] == 1.0 for one in others)


def test_one_whose_export_fails_fails_alone(stacking: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def refuse_the_first(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("cannot be exported")
        return export_model(*arguments, **named)

    monkeypatch.setattr("worker.classifiers.export_model", refuse_the_first)
    id = post(stacking, executions=3)
    train_oldest(stacking)
    assert sorted(one.state for one in rows(stacking, id)[1]) == [State.FAILED, State.SUCCEEDED, State.SUCCEEDED]


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
        assert len(losses.reap(session, lease_seconds=20, max_losses=9, error={}).requeued) == 3
    train_oldest(worker)
    assert rows(worker, id)[0].state is State.SUCCEEDED
    assert [epoch for _, epoch in offered[21:]] == [epoch for epoch in (8, 9, 10, 11) for _ in range(3)]


def test_a_cell_is_prepared_once_and_forgotten_when_nothing_waits(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = count_calls(monkeypatch, "worker.classifiers.prepare_cell", prepare_cell)
    post(resources, executions=3)
    with resources.sessions.begin() as session:
        factories.queued_experiment(session, factories.shades_spec(executions=2))
    for expected in (1, 1, 1, 2):
        train_oldest(resources)
        assert (len(prepared), len(cells._kept)) == (expected, 1)
    train_oldest(resources)
    assert (len(prepared), cells._kept) == (2, {})


@pytest.mark.parametrize(("gpus", "capacity"), [(0, 1), (1, 50), (2, 25), (4, 13), (8, 10)])
def test_gpus_share_a_cell_and_a_cpu_takes_one(
    gpus: int, capacity: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert claim_capacity(settings.model_copy(update={"device": "auto"})) == capacity
    assert claim_capacity(settings.model_copy(update={"device": "cpu"})) == 1
    assert claim_capacity(settings.model_copy(update={"claim_capacity": 7})) == 7


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """What PyTorch says of a GPU with so much free memory, on a machine that has none."""

    def with_free(free: int) -> None:
        answers: dict[str, Callable[..., Any]] = {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "is_bf16_supported": lambda **_: True,
            "mem_get_info": lambda _: (free, H200),
            "memory_reserved": lambda _: 0,
            "memory_allocated": lambda _: 0,
            "get_device_name": lambda _: "a GPU",
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    return with_free


def cifar10(**changes: Any) -> tuple[ClassifierExperiment, Dataset]:
    spec = parse_spec({"dataset": "cifar10", "noise": {"family": "uniform", "quantity": 100}, **changes})
    assert isinstance(spec, ClassifierExperiment)
    return spec, Dataset(name="cifar10", classes=list("0123456789"), train_count=50_000, test_count=10_000)


def test_as_many_are_trained_at_once_as_memory_allows(settings: Settings, gpu: Callable[[int], None]) -> None:
    auto = settings.model_copy(update={"device": "auto"})
    gpu(H200)
    assert place(auto, *cifar10(), 50) == Placing("cuda:0", Together(50, None))
    limited = auto.model_copy(update={"gpu_memory_bytes": 8 * GIB})
    assert 20 <= place(limited, *cifar10(), 50).together.most < 50
    assert place(limited, *cifar10(), 4).together.most == 4
    named = limited.model_copy(update={"engine": "grouped"})
    assert place(named, *cifar10(), 50).together == Together(50, "grouped")
    gpu(8 * GIB)
    assert 20 <= place(auto, *cifar10(), 50).together.most < 50
    gpu(2 * GIB)
    with pytest.raises(InsufficientMemory, match=r"needs \d\.\d\d GiB of memory on a GPU, where 2\.00 GiB are free"):
        place(auto, *cifar10(), 50)


def test_a_cpu_trains_one_after_another_unless_a_stack_is_asked_for(settings: Settings) -> None:
    assert place(settings, *cifar10(), 3) == Placing("cpu", Together(1, None))
    assert place(settings.model_copy(update={"engine": "grouped"}), *cifar10(), 3).together == Together(3, "grouped")


def test_what_does_not_fit_is_given_back_at_once(resources: Resources, gpu: Callable[[int], None]) -> None:
    """Images of 8 pixels need little: the memory is chosen so that about half of them fit."""
    id = post(resources, executions=50)
    gpu(GIB + 40 * 2**20)
    claimed = claim_oldest(changed(resources, device="auto"))
    assert claimed is not None
    held = len(claimed.ids)
    assert 5 < held < 45
    _, found = rows(resources, id)
    assert [one.state for one in found] == [State.RUNNING] * held + [State.QUEUED] * (50 - held)
    assert all((one.owner, one.losses, one.lease_until) == (None, 0, None) for one in found[held:])


def test_what_no_gpu_has_room_for_is_left_to_others_with_the_number(
    resources: Resources, gpu: Callable[[int], None]
) -> None:
    id = post(resources, executions=2)
    gpu(GIB // 4)
    train_oldest(changed(resources, device="auto"))
    _, (tried, other) = rows(resources, id)
    assert (tried.state, other.state) == (State.RUNNING, State.QUEUED)
    assert tried.error is not None
    assert tried.error["code"] == "insufficient-memory"
    assert "needs 1.00 GiB" in tried.error["detail"]
    assert "smaller batches" in tried.error["remedy"]
