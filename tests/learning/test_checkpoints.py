import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from structlog.testing import capture_logs
from torch import Tensor, nn

from noisegate.learning.batches import Batches
from noisegate.learning.cells import prepare_cell
from noisegate.learning.checkpoints import TrainingState, UnusableCheckpoint, restore, write_checkpoint
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import predict
from noisegate.learning.training import Diverged, Progress, Trained
from noisegate.spec import LearningRateDrop, TrainingSpec
from tests.conftest import examples

from .factories import (
    Cancelled,
    Counter,
    cell_data,
    experiment_spec,
    fresh,
    ignore,
    nothing,
    run_all,
    tinted_images,
    train_all,
    training_spec,
)

DIGEST_BYTES = 32

SPECS: dict[str, TrainingSpec] = {
    "plain": training_spec(epochs=3, momentum=0.0),
    "momentum": training_spec(epochs=3, momentum=0.9),
    "equal updates": training_spec(epochs=3, equal_updates=True),
    "learning-rate drop": training_spec(epochs=3, learning_rate_drop=LearningRateDrop(factor=0.5, every_epochs=2)),
    "bfloat16": training_spec(epochs=3, precision="bfloat16"),
    "one batch": training_spec(epochs=3, batch_size=500),
}
SMALL = training_spec(epochs=3)
TINY = training_spec(epochs=2)


@dataclass
class Keeper:
    """As `on_checkpoint`: keeps the last checkpoint of every seed, and all of them by epoch."""

    last: dict[int, bytes] = field(default_factory=dict)
    by_epoch: dict[int, bytes] = field(default_factory=dict)

    def __call__(self, progress: Progress, snapshot: Callable[[], bytes]) -> None:
        self.last[progress.seed] = self.by_epoch[progress.epoch] = snapshot()


def run(
    spec: TrainingSpec,
    *seeds: int,
    images: int = 120,
    outputs: int = 3,
    between_batches: Callable[[], None] = nothing,
    on_epoch: Callable[[Progress], None] = ignore,
    **checkpoints: Any,
) -> list[Trained | Diverged]:
    """Of 7 batches an epoch; with equal updates of 3, so that epochs end inside a pass and go over its end."""
    data, labels = tinted_images(images, seed=1)
    return train_all(
        data,
        labels,
        network="paper",
        outputs=outputs,
        spec=spec,
        seeds=seeds or (1,),
        known_images=images // 2,
        between_batches=between_batches,
        on_epoch=on_epoch,
        **checkpoints,
    )


def checkpoints_of(spec: TrainingSpec, seed: int = 1, **changes: Any) -> dict[int, bytes]:
    keeper = Keeper()
    run(spec, seed, on_checkpoint=keeper, **changes)
    return keeper.by_epoch


@functools.cache
def second_checkpoint() -> bytes:
    """Of `SMALL` and seed 1, after the second epoch of three."""
    return checkpoints_of(SMALL)[2]


@functools.cache
def tiny_checkpoint() -> bytes:
    """Of `TINY` and seed 1, after the first epoch of two, each of one batch."""
    return checkpoints_of(TINY, images=20)[1]


def remains(results: Sequence[Trained | Diverged], image_size: int = 8) -> list[tuple[object, ...]]:
    """All that must be equal to the last bit: weights and their names, losses, logits and features."""
    images, _ = tinted_images(20, seed=9, image_size=image_size)
    kept: list[tuple[object, ...]] = []
    for result in results:
        assert isinstance(result, Trained)
        weights = [(name, tensor.numpy().tobytes()) for name, tensor in result.module.state_dict().items()]
        answers = [array.tobytes() for array in predict(result.module, result.preprocessing, images)]
        kept.append((result.seed, weights, result.losses, answers, result.precision))
    return kept


@functools.cache
def undisturbed(spec: TrainingSpec, **changes: Any) -> list[tuple[object, ...]]:
    """What `run` comes to with seed 1 and without any checkpoint."""
    return remains(run(spec, **changes))


@pytest.mark.parametrize("name", SPECS)
def test_resumed_after_any_epoch_is_as_undisturbed(name: str) -> None:
    spec = SPECS[name]
    for epoch, checkpoint in checkpoints_of(spec).items():
        epochs: list[Progress] = []
        assert remains(run(spec, resume={1: checkpoint}, on_epoch=epochs.append)) == undisturbed(spec)
        assert [progress.epoch for progress in epochs] == list(range(epoch + 1, spec.epochs + 1))


@pytest.mark.parametrize("name", SPECS)
def test_two_crashes_in_a_row(name: str) -> None:
    spec = SPECS[name]
    updates = Counter()
    expected = remains(run(spec, between_batches=updates))
    last: dict[int, bytes] = {}
    for crash, kept in ((updates.calls // 2 + 1, "1"), (updates.calls // 3 + 1, "2")):
        keeper = Keeper()
        with pytest.raises(Cancelled):
            run(spec, between_batches=Counter(crash), resume=last, on_checkpoint=keeper)
        last = keeper.last
        assert parts(last[1])[0]["epoch"] == kept
    assert remains(run(spec, resume=last)) == expected


def test_of_several_seeds_one_goes_on_and_the_others_start() -> None:
    epochs: list[Progress] = []
    resumed = run(SMALL, 5, 6, 7, resume={6: checkpoints_of(SMALL, seed=6)[2]}, on_epoch=epochs.append)
    assert remains(resumed) == remains(run(SMALL, 5, 6, 7))
    assert [(p.seed, p.epoch) for p in epochs] == [(5, 1), (5, 2), (5, 3), (6, 3), (7, 1), (7, 2), (7, 3)]


def test_a_checkpoint_serves_a_longer_training() -> None:
    longer = training_spec(epochs=5)
    assert remains(run(longer, resume={1: second_checkpoint()})) == undisturbed(longer)


def test_on_checkpoint_comes_right_after_on_epoch_but_not_after_the_last() -> None:
    calls: list[tuple[str, int, int]] = []
    run(
        SMALL,
        4,
        5,
        on_epoch=lambda progress: calls.append(("epoch", progress.seed, progress.epoch)),
        on_checkpoint=lambda progress, _: calls.append(("checkpoint", progress.seed, progress.epoch)),
    )
    kinds = [("epoch", 1), ("checkpoint", 1), ("epoch", 2), ("checkpoint", 2), ("epoch", 3)]
    assert calls == [(kind, seed, epoch) for seed in (4, 5) for kind, epoch in kinds]
    assert checkpoints_of(training_spec(epochs=1)) == {}


def test_a_snapshot_is_taken_when_it_is_asked_for() -> None:
    """Asked for too late, it is of a later state: nothing was copied beforehand."""
    snapshots: list[Callable[[], bytes]] = []
    run(SMALL, on_checkpoint=lambda _, snapshot: snapshots.append(snapshot))
    assert [parts(snapshot())[0]["epoch"] for snapshot in snapshots] == ["3", "3"]


def test_taking_checkpoints_changes_nothing() -> None:
    assert remains(run(SMALL, 1, 2, on_checkpoint=Keeper())) == remains(run(SMALL, 1, 2))


def test_time_and_images_of_before_count() -> None:
    metadata, tensors = parts(second_checkpoint())
    assert (metadata["images_seen"], 0 < float(metadata["train_seconds"]) < 100) == (str(2 * 112), True)
    epochs: list[Progress] = []
    slow = signed(metadata | {"train_seconds": "1000.5"}, tensors)
    (trained,) = run(SMALL, resume={1: slow}, on_epoch=epochs.append)
    assert isinstance(trained, Trained)
    assert 1000.5 < trained.train_seconds < 1100
    assert trained.images_per_second == pytest.approx(3 * 112 / trained.train_seconds)
    assert epochs[0].images_per_second == pytest.approx(3 * 112 / 1000.5, rel=0.1)


def test_a_resumed_execution_may_diverge() -> None:
    wild = training_spec(epochs=5, learning_rate=1e30)
    assert run(wild, resume={1: second_checkpoint()}) == [Diverged(1, epoch=3)]


def test_executions_of_a_cell_are_resumed() -> None:
    cell = prepare_cell(experiment_spec(training=SMALL), cell_data(), 0)
    keeper = Keeper()
    go = functools.partial(run_all, cell, [8, 9])
    whole = go(on_checkpoint=keeper)
    epochs: list[Progress] = []
    resumed = go(on_epoch=epochs.append, resume=keeper.last)
    assert [(progress.seed, progress.epoch) for progress in epochs] == [(8, 3), (9, 3)]
    for outcome, expected in zip(resumed, whole, strict=True):
        assert isinstance(outcome, ExecutionOutcome)
        assert isinstance(expected, ExecutionOutcome)
        assert remains([outcome.trained]) == remains([expected.trained])
        assert outcome.metrics == expected.metrics
        assert outcome.calibration == expected.calibration


# Checkpoints that do not fit


def parts(checkpoint: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors, read by the description of the format at huggingface.co/docs/safetensors."""
    body = checkpoint[DIGEST_BYTES:]
    metadata: dict[str, str] = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])["__metadata__"]
    return metadata, load(body)


def signed(metadata: Mapping[str, str] | None, tensors: Mapping[str, Tensor]) -> bytes:
    return sign(save(dict(tensors), None if metadata is None else dict(metadata)))


def sign(body: bytes) -> bytes:
    """As whoever means harm would."""
    return hashlib.sha256(body).digest() + body


def ignored(checkpoint: bytes, spec: TrainingSpec = SMALL, **changes: Any) -> str:
    """Why the checkpoint was not used, after a training that must then be the undisturbed one."""
    epochs: list[Progress] = []
    with capture_logs() as logs:
        results = run(spec, resume={1: checkpoint}, on_epoch=epochs.append, **changes)
    (line,) = logs
    assert (line["event"], line["log_level"], line["seed"]) == ("checkpoint_ignored", "warning", 1)
    assert [progress.epoch for progress in epochs] == list(range(1, spec.epochs + 1))
    assert remains(results) == undisturbed(spec, **changes)
    reason: str = line["reason"]
    return reason


def test_checkpoints_of_other_executions() -> None:
    assert ignored(checkpoints_of(SMALL, seed=2)[1]) == "it is of another seed"
    assert ignored(checkpoints_of(training_spec(epochs=4, precision="bfloat16"))[1]) == "it is of another precision"
    assert "other names" in ignored(checkpoints_of(SMALL, outputs=4)[1])
    assert "other names" in ignored(checkpoints_of(SMALL, images=121)[1])
    assert "other names" in ignored(second_checkpoint(), training_spec(epochs=3, momentum=0.0))
    assert "other names" in ignored(checkpoints_of(training_spec(epochs=3, momentum=0.0))[1])


def test_a_checkpoint_from_beyond_the_last_epoch() -> None:
    checkpoints = checkpoints_of(training_spec(epochs=5))
    assert "epoch 3" in ignored(checkpoints[3])
    assert "epoch 4" in ignored(checkpoints[4])


@pytest.mark.parametrize(
    "change",
    [
        {"torch": "1.0"},
        {"device": "cuda"},
        {"seed": "01x"},
        {"precision": "float16"},
        {"epoch": "0"},
        {"epoch": "-1"},
        {"epoch": "1"},  # one loss less than there are
        {"epoch": "2.5"},
        {"epoch": "9" * 5000},
        {"position": "-16"},
        {"position": "121"},
        {"images_seen": "9" * 400},
        {"images_seen": "-1"},
        {"train_seconds": "nan"},
        {"train_seconds": "inf"},
        {"train_seconds": "-1"},
        {"unknown": "field"},
    ],
)
def test_metadata_that_does_not_fit(change: dict[str, str]) -> None:
    metadata, tensors = parts(second_checkpoint())
    ignored(signed(metadata | change, tensors))


def test_no_metadata_or_some_missing() -> None:
    metadata, tensors = parts(second_checkpoint())
    ignored(signed(None, tensors))
    ignored(signed({}, tensors))
    for name in metadata:
        ignored(signed({key: value for key, value in metadata.items() if key != name}, tensors))


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("order", torch.zeros(120, dtype=torch.int64)),
        ("order", torch.arange(120) + 1),
        ("order", torch.arange(120) - 1),
        ("order", torch.arange(120, dtype=torch.int32)),
        ("order", torch.arange(121)),
        ("order", torch.empty(0, dtype=torch.int64)),
        ("losses", torch.tensor([1.0, torch.nan], dtype=torch.float64)),
        ("losses", torch.tensor([1.0, 2.0])),
        ("losses", torch.tensor(1.0, dtype=torch.float64)),
        ("generator", torch.zeros(5056, dtype=torch.uint8)),
        ("generator", torch.full((5056,), 255, dtype=torch.uint8)),
        ("generator", torch.zeros(10, dtype=torch.uint8)),
        ("network.head.bias", torch.zeros(3, dtype=torch.float64)),
        ("network.head.bias", torch.zeros(1, 3)),
        ("network.unknown", torch.zeros(3)),
        ("momentum.head.weight", torch.zeros(64, 3)),
    ],
)
def test_tensors_that_do_not_fit(name: str, odd: Tensor) -> None:
    metadata, tensors = parts(second_checkpoint())
    ignored(signed(metadata, tensors | {name: odd}))


@pytest.mark.parametrize("name", ["order", "losses", "generator", "network.head.bias", "momentum.head.bias"])
def test_tensors_that_are_missing(name: str) -> None:
    metadata, tensors = parts(second_checkpoint())
    del tensors[name]
    ignored(signed(metadata, tensors))


def header_of(entries: object, data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return sign(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize(
    "checkpoint",
    [
        b"",
        b"\x80\x04.",
        sign(b""),
        sign(b"\xff" * 8),
        header_of([]),
        header_of({}),
        header_of({"__metadata__": None}),
        header_of({"__metadata__": 5}),
        header_of({"a": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 4]}}, b"1234"),
        header_of({"a": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}}, b"1234"),
        header_of({"a": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}, b"1234"),
        header_of({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
        header_of({"a": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}}),
    ],
)
def test_bytes_of_something_else(checkpoint: bytes) -> None:
    ignored(checkpoint)


@settings(max_examples=examples(60), deadline=None)
@given(st.data())
def test_damaged_bytes(data: st.DataObject) -> None:
    whole = tiny_checkpoint()
    start = data.draw(st.integers(0, len(whole) - 1), "from")
    match data.draw(st.sampled_from(["cut", "flip", "insert", "zeros"])):
        case "cut":
            damaged = whole[:start]
        case "flip":
            damaged = whole[:start] + bytes([whole[start] ^ 1 << data.draw(st.integers(0, 7))]) + whole[start + 1 :]
        case "insert":
            damaged = whole[:start] + data.draw(st.binary(min_size=1)) + whole[start:]
        case _:
            damaged = whole[:start] + bytes(len(whole) - start)
    if damaged == whole:
        return
    assert ignored(damaged, TINY, images=20) == "its bytes are damaged"


@settings(max_examples=examples(500), deadline=None)
@given(st.data())
def test_hostile_bytes_are_used_or_refused_and_nothing_else(data: st.DataObject) -> None:
    """Signed, so that they reach the reader; most changes are to the header, where the format's own checks are."""
    body = bytearray(tiny_checkpoint()[DIGEST_BYTES:])
    header = 8 + int.from_bytes(body[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, header - 1) | st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    state = paper_state()
    before = everything(state)
    try:
        restore(state, sign(bytes(body)), epochs=2)
    except UnusableCheckpoint:
        assert everything(state) == before


# What a checkpoint holds, on states made by hand


def state_of(module: nn.Module, seed: int, momentum: float = 0.9, images: int = 20) -> TrainingState:
    module = module.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=momentum)
    return TrainingState(1, "float32", module, optimizer, Batches(images, 16, generator, torch.device("cpu")))


def paper_state() -> TrainingState:
    return state_of(fresh(seed=2), seed=2)


def normalised_network(seed: int) -> nn.Module:
    """With buffers, one of them int64 and without dimensions."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 2))


def step(state: TrainingState) -> None:
    images = torch.arange(16 * 3 * 16).reshape(16, 3, 4, 4) % 7 + next(state.batches).places.reshape(16, 1, 1, 1)
    state.optimizer.zero_grad()
    state.module(images / 10).square().mean().backward()
    state.optimizer.step()


def everything(state: TrainingState) -> list[object]:
    momenta = [slot["momentum_buffer"] for slot in state.optimizer.state.values()]
    tensors = itertools.chain(state.module.state_dict().values(), momenta, [state.batches.order])
    return [
        *((tensor.numpy().tobytes(), tensor.stride(), tensor.dtype) for tensor in tensors),
        state.batches.generator.get_state().tolist(),
        (state.batches.position, state.losses, state.images_seen, state.train_seconds),
    ]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_buffers_strides_and_types_come_back_and_training_goes_on_alike(momentum: float) -> None:
    state = state_of(normalised_network(seed=1), seed=1, momentum=momentum)
    for _ in range(3):
        step(state)
    state.losses, state.images_seen, state.train_seconds = [0.1, 1 / 3, 5e-324], 48, 0.1 + 0.2
    restored = state_of(normalised_network(seed=2), seed=2, momentum=momentum)
    places = [tensor.data_ptr() for tensor in restored.module.state_dict().values()]
    restore(restored, write_checkpoint(state), epochs=4)
    assert everything(restored) == everything(state)
    assert [tensor.data_ptr() for tensor in restored.module.state_dict().values()] == places
    for one in (state, restored):
        step(one)
        step(one)
    assert everything(restored) == everything(state)


def test_the_checkpoint_shares_no_memory_with_the_state() -> None:
    state = state_of(normalised_network(seed=1), seed=1)
    step(state)
    state.losses = [1.0]
    checkpoint = write_checkpoint(state)
    kept, then = bytes(bytearray(checkpoint)), everything(state)
    step(state)
    assert checkpoint == kept
    restored = state_of(normalised_network(seed=1), seed=3)
    restore(restored, checkpoint, epochs=2)
    assert everything(restored) == then
