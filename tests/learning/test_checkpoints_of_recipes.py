"""Checkpoints of networks with buffers and of optimizers with more than a momentum: as exact as those of the paper's recipe."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from noisegate.learning.batches import Batches
from noisegate.learning.checkpoints import TrainingState, UnusableCheckpoint, restore, write_checkpoint
from noisegate.learning.recipe import make_optimizer
from noisegate.learning.training import Diverged, Progress, Trained
from noisegate.spec import TrainingSpec

from .factories import fresh, one_cycle, tinted_images, train_all, training_spec
from .test_checkpoints import Keeper, parts, remains, signed

RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "adamw": {"optimizer": "adamw"},
    "average, cutout, smoothing": {"ema_decay": 0.7, "cutout": 4, "label_smoothing": 0.1},
}
# Of the large network, one recipe at each commit.
CASES = [
    *(("compact", 16, 3, recipe) for recipe in RECIPES.values()),
    ("resnet18", 8, 2, RECIPES["adamw"]),
    *(
        pytest.param(*case, marks=pytest.mark.nightly)
        for case in (
            ("compact", 16, 3, {"optimizer": "adamw", "ema_decay": 0.7, "precision": "bfloat16"}),
            ("resnet18", 8, 2, RECIPES["sgd"]),
            ("resnet18", 8, 2, RECIPES["average, cutout, smoothing"]),
        )
    ),
]


def run(spec: TrainingSpec, network: str, image_size: int, **checkpoints: Any) -> list[Trained | Diverged]:
    """Two batches an epoch, so that an epoch ends within a pass over 40 images."""
    images, labels = tinted_images(40, seed=1, image_size=image_size)
    return train_all(images, labels, spec=spec, seeds=[1], network=network, **checkpoints)


@pytest.mark.parametrize(("network", "image_size", "epochs", "changes"), CASES)
def test_resumed_after_any_epoch_is_as_undisturbed(
    network: str, image_size: int, epochs: int, changes: dict[str, Any]
) -> None:
    spec = one_cycle(epochs=epochs, learning_rate=0.01, **changes)
    keeper = Keeper()
    undisturbed = remains(run(spec, network, image_size, on_checkpoint=keeper), image_size)
    assert list(keeper.by_epoch) == list(range(1, epochs))
    for epoch, checkpoint in keeper.by_epoch.items():
        trained: list[Progress] = []
        resumed = run(spec, network, image_size, resume={1: checkpoint}, on_epoch=trained.append)
        assert [progress.epoch for progress in trained] == list(range(epoch + 1, epochs + 1))
        assert remains(resumed, image_size) == undisturbed


def state(spec: TrainingSpec, *, average: bool = False, seed: int = 2) -> TrainingState:
    module = fresh(seed=seed).to(memory_format=torch.channels_last)
    optimizer = make_optimizer([(one, one) for one in module.parameters()], spec)
    batches = Batches(20, 16, torch.Generator().manual_seed(seed), torch.device("cpu"), spec.augmentation, 8)
    kept = copy.deepcopy(module) if average else None
    return TrainingState(1, "float32", module, optimizer, batches, kept)


def after_a_step(spec: TrainingSpec, *, average: bool = False) -> bytes:
    one = state(spec, average=average)
    images = torch.arange(16 * 3 * 64).reshape(16, 3, 8, 8) % 7 + next(one.batches).places.reshape(16, 1, 1, 1)
    loss = one.module(images / 10)[0].square().mean()
    parameters = list(one.module.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    one.optimizer.step()
    one.losses = [1.0]
    return write_checkpoint(one)


def refused(checkpoint: bytes, spec: TrainingSpec, *, average: bool = False) -> str:
    """Why a checkpoint is not used; nothing of the state has changed then."""
    into = state(spec, average=average, seed=3)
    before = {name: tensor.clone() for name, tensor in into.module.state_dict().items()}
    with pytest.raises(UnusableCheckpoint) as caught:
        restore(into, checkpoint, epochs=3)
    assert all(torch.equal(before[name], tensor) for name, tensor in into.module.state_dict().items())
    assert not into.optimizer.state
    assert not into.losses
    return str(caught.value)


ADAMW, SGD = one_cycle(optimizer="adamw"), one_cycle()


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("first_moment.head.bias", None),
        ("second_moment.head.bias", None),
        ("step.head.bias", None),
        ("first_moment.head.bias", torch.zeros(1, 3)),
        ("second_moment.head.bias", torch.zeros(3, dtype=torch.float64)),
        ("step.head.bias", torch.zeros(1)),
        ("step.head.bias", torch.tensor(1, dtype=torch.int64)),
        ("momentum.head.bias", torch.zeros(3)),
    ],
)
def test_tensors_of_the_optimizer_that_do_not_fit(name: str, odd: Tensor | None) -> None:
    metadata, tensors = parts(after_a_step(ADAMW))
    changed = {key: tensor for key, tensor in tensors.items() if key != name} | ({} if odd is None else {name: odd})
    assert "other names" in refused(signed(metadata, changed), ADAMW)


def test_checkpoints_of_other_recipes() -> None:
    assert "other names" in refused(after_a_step(SGD), ADAMW)
    assert "other names" in refused(after_a_step(ADAMW), SGD)
    assert "other names" in refused(after_a_step(SGD), SGD, average=True)
    assert "other names" in refused(after_a_step(SGD, average=True), SGD)


def test_steps_and_averages_come_back() -> None:
    restored = state(ADAMW, average=True, seed=3)
    restore(restored, after_a_step(ADAMW, average=True), epochs=3)
    assert {float(kept["step"]) for kept in restored.optimizer.state.values()} == {1.0}
    assert len(restored.optimizer.state) == len(list(restored.module.parameters()))
    assert restored.average is not None
    # The average was not moved: it is still the network that seed 2 began with.
    expected = fresh(seed=2).state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in restored.average.state_dict().items())


def test_a_checkpoint_by_the_names_of_the_first_wave() -> None:
    """Written by hand as it was done before there were other networks and recipes; today's has neither more nor less."""
    spec, network = training_spec(), fresh(seed=7)
    named = dict(network.named_parameters())
    momenta = {name: torch.full_like(one, number) for number, (name, one) in enumerate(named.items())}
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    tensors = {
        **{f"network.{name}": one.detach() for name, one in named.items()},
        **{f"momentum.{name}": one for name, one in momenta.items()},
        "generator": torch.Generator().manual_seed(8).get_state(),
        "order": order,
        "losses": torch.tensor([0.5], dtype=torch.float64),
    }
    metadata = {
        "seed": "1",
        "precision": "float32",
        "torch": torch.__version__,
        "device": "cpu",
        "epoch": "1",
        "position": "16",
        "images_seen": "16",
        "train_seconds": "0.25",
    }
    restored = state(spec)
    restore(restored, signed(metadata, tensors), epochs=2)
    for name, one in restored.module.named_parameters():
        assert torch.equal(one, named[name])
        assert torch.equal(restored.optimizer.state[one]["momentum_buffer"], momenta[name])
    assert torch.equal(restored.batches.order, order)
    assert (restored.batches.position, restored.losses, restored.images_seen) == (16, [0.5], 16)
    written = parts(write_checkpoint(restored))
    assert (written[0], written[1].keys()) == (metadata, tensors.keys())
