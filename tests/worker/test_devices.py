"""What a GPU's memory and number have to say of claims; PyTorch's answers are made up, as there is none here."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from noisegate.learning.memory import GIB, InsufficientMemory
from noisegate.learning.training import Together
from noisegate.spec import ClassifierExperiment, parse_spec
from noisegate.store import executions
from noisegate.store.settings import Settings
from noisegate.store.states import State
from noisegate.store.tables import Dataset, Execution
from tests import factories
from worker.claiming import claim_more, claim_oldest
from worker.devices import Placing, claim_capacity, place
from worker.main import count_processes
from worker.resources import Resources
from worker.training import train_oldest

H200 = 139 * GIB


def changed(resources: Resources, **changes: Any) -> Resources:
    settings = resources.settings.model_copy(update=changes)
    return Resources(settings, resources.sessions, resources.artefacts, resources.wakeups, resources.worker)


def post(resources: Resources, count: int) -> str:
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts)
        return factories.queued_experiment(session, factories.shades_spec(executions=count)).id


def rows(resources: Resources, id: str) -> list[Execution]:
    with resources.sessions.reading() as session:
        return list(executions.of_experiment(session, id))


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
        # AdamW asks, also where a step is only reckoned.
        monkeypatch.setattr(torch.accelerator, "current_stream", lambda: SimpleNamespace(is_capturing=lambda: False))

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


@pytest.mark.parametrize(
    ("network", "training"),
    [("compact", {}), ("compact", {"recipe": "one_cycle", "ema_decay": 0.9}), ("resnet18", {"recipe": "one_cycle"})],
)
def test_networks_with_batch_norm_have_a_place_too(
    network: str, training: dict[str, Any], settings: Settings, gpu: Callable[[int], None]
) -> None:
    auto, asked = settings.model_copy(update={"device": "auto"}), {"network": network, "training": training}
    gpu(H200)
    assert place(auto, *cifar10(**asked), 9) == Placing("cuda:0", Together(9, None))
    named = auto.model_copy(update={"engine": "grouped"})
    assert place(named, *cifar10(**asked), 9).together == Together(9, "separate"), "which it cannot be stacked by"
    gpu(6 * GIB)
    assert 1 <= place(auto, *cifar10(**asked), 50).together.most < 50
    gpu(2 * GIB)
    with pytest.raises(InsufficientMemory):
        place(auto, *cifar10(**asked), 1)
    assert place(settings, *cifar10(**asked), 9) == Placing("cpu", Together(1, None))


def test_later_layers_of_a_backbone_go_to_a_gpu_and_a_layer_on_features_does_not(
    settings: Settings, gpu: Callable[[int], None]
) -> None:
    auto, network = settings.model_copy(update={"device": "auto"}), {"backbone": "tf_efficientnet_lite0"}
    asked = {"network": network, "noise": None, "holdout": 0.1}
    fine_tune = asked | {"training": {"recipe": "fine_tune", "flip": False}}
    gpu(H200)
    assert place(auto, *cifar10(**asked), 9) == Placing("cpu", Together(1, None))
    assert place(auto, *cifar10(**fine_tune), 50) == Placing("cuda:0", Together(50, None))
    # 50,000 images of 80 channels of 14 pixels a side: 3.1 GB, and as many again of mirrored ones.
    gpu(6 * GIB)
    assert 1 <= place(auto, *cifar10(**fine_tune), 50).together.most < 50
    with pytest.raises(InsufficientMemory):
        place(auto, *cifar10(**asked, training={"recipe": "fine_tune"}), 1)
    assert place(settings, *cifar10(**fine_tune), 9).device == "cpu"


def test_a_cpu_trains_one_after_another_unless_a_stack_is_asked_for(settings: Settings) -> None:
    assert place(settings, *cifar10(), 3) == Placing("cpu", Together(1, None))
    assert place(settings.model_copy(update={"engine": "grouped"}), *cifar10(), 3).together == Together(3, "grouped")


def test_no_more_are_claimed_than_fit(resources: Resources, gpu: Callable[[int], None]) -> None:
    """Images of 8 pixels need little: the memory is chosen so that about half of them fit."""
    id = post(resources, 50)
    gpu(3 * GIB // 2 + 40 * 2**20)
    worker = changed(resources, device="auto")
    claimed = claim_oldest(worker)
    assert claimed is not None
    assert len(claimed.ids) == 1
    claim_more(worker, claimed)
    held = len(claimed.ids)
    assert 5 < held < 45
    found = rows(resources, id)
    assert [(one.state, one.attempt) for one in found] == [(State.RUNNING, 1)] * held + [(State.QUEUED, 0)] * (
        50 - held
    )


def test_what_needs_no_gpu_is_claimed_one_at_a_time(resources: Resources, gpu: Callable[[int], None]) -> None:
    spec = parse_spec({"kind": "curve_fitting", "samples": 100, "iterations": 2, "executions": 3})
    with resources.sessions.begin() as session:
        id = factories.queued_experiment(session, spec).id
    gpu(H200)
    train_oldest(changed(resources, device="auto"))
    assert [(one.state, one.attempt) for one in rows(resources, id)] == [
        (State.SUCCEEDED, 1),
        (State.QUEUED, 0),
        (State.QUEUED, 0),
    ]


def test_what_no_gpu_has_room_for_is_left_to_others_with_the_number(
    resources: Resources, gpu: Callable[[int], None]
) -> None:
    id = post(resources, 2)
    gpu(GIB // 4)
    train_oldest(changed(resources, device="auto"))
    tried, other = rows(resources, id)
    assert (tried.state, other.state) == (State.RUNNING, State.QUEUED)
    assert tried.error is not None
    assert tried.error.code == "insufficient-memory"
    assert "needs 1.50 GiB" in tried.error.detail
    assert "smaller batches" in (tried.error.remedy or "")


@pytest.mark.parametrize(
    ("visible", "processes"), [(None, 8), ("0", 1), ("3,5", 2), ("GPU-1a,GPU-2b,GPU-3c", 3), ("", 2), ("-1", 2)]
)
def test_a_process_for_each_gpu_that_may_be_seen(
    visible: str | None, processes: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "glob", lambda *_: [Path(f"/dev/nvidia{number}") for number in range(8)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_processes(settings.model_copy(update={"device": "auto", "worker_processes": 2})) == processes
    assert count_processes(settings.model_copy(update={"device": "cpu", "worker_processes": 2})) == 2
