"""The recipe `one_cycle`, against formulas, optimizers of PyTorch called by hand, and averages made by hand."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from noisegate.learning.recipe import make_optimizer
from noisegate.learning.states import fresh_state
from noisegate.learning.training import Trained
from noisegate.networks import NETWORKS
from noisegate.networks.building import TrainableNetwork, architecture
from noisegate.spec.recipes import OneCycleRecipe

from .factories import one_cycle, tinted_images, train_all, training_set
from .test_augmentation import slowly

# What leaves the images as they are, all of them in one batch: then no chance is left.
UNCHANGED: dict[str, Any] = {"batch_size": 500, "flip": False, "crop_padding": 0}
IMAGES, OUTPUTS = 24, 3


def rates(spec: OneCycleRecipe, updates_per_epoch: int) -> list[float]:
    return [spec.rate_at(update, updates_per_epoch) for update in range(spec.epochs * updates_per_epoch)]


def test_the_rate_rises_evenly_to_its_peak_and_falls_evenly_to_its_last_share() -> None:
    """Four epochs of five updates, one of them warm-up: fifths of the peak, and then sixteenths of the way to a tenth."""
    found = rates(one_cycle(epochs=4, learning_rate=2.0, warmup_epochs=1, final_rate=0.1), 5)
    falling = [0.1 + 0.9 * left / 16 for left in range(16, 0, -1)]
    assert found == pytest.approx([2 * share for share in [0.2, 0.4, 0.6, 0.8, *falling]])
    assert max(found) == found[4] == 2.0
    assert found[-1] == pytest.approx(2 * 0.15625)


def test_neither_the_first_nor_the_last_update_is_wasted() -> None:
    for warmup in (0, 0.5, None, 1.9):
        found = rates(one_cycle(epochs=2, learning_rate=1.0, warmup_epochs=warmup), 4)
        assert all(0 < rate <= 1 for rate in found)
        peak = found.index(max(found))
        assert found[: peak + 1] == sorted(found[: peak + 1])
        assert found[peak:] == sorted(found[peak:], reverse=True)


def test_what_is_usual() -> None:
    sgd, adamw = one_cycle(epochs=5), one_cycle(epochs=5, optimizer="adamw")
    assert (max(rates(sgd, 10)), max(rates(adamw, 10))) == (0.25, 0.002)
    assert rates(sgd, 10).index(0.25) == 9, "a fifth of 50 updates"
    assert (sgd.descent.momentum, sgd.descent.nesterov, adamw.descent.momentum) == (0.9, True, 0.0)
    assert not one_cycle(momentum=0.0).descent.nesterov, "Nesterov's momentum is one"
    assert (sgd.smoothing, sgd.average_decay, sgd.stacks, sgd.initial_std) == (0.0, None, False, None)
    assert one_cycle(flip=False, crop_padding=0).augmentation is None


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_only_the_weights_of_convolutions_and_linear_layers_decay(name: str, optimizer: str) -> None:
    module = architecture(name, image_size=16, outputs=OUTPUTS)
    trained = [(one, one) for one in module.parameters() if one.requires_grad]
    made = make_optimizer(trained, one_cycle(optimizer=optimizer, weight_decay=0.3))
    found = {id(one): group["weight_decay"] for group in made.param_groups for one in group["params"]}
    expected = {
        id(parameter): 0.3 if isinstance(layer, nn.Conv2d | nn.Linear) and kind == "weight" else 0.0
        for layer in module.modules()
        for kind, parameter in layer.named_parameters(recurse=False)
        if parameter.requires_grad
    }
    assert found == expected
    assert set(found.values()) == {0.0, 0.3}


def first_network(spec: OneCycleRecipe, network: str, size: int) -> tuple[TrainableNetwork, Tensor, Tensor]:
    """The network that seed 4 starts from, the images as it is shown them, and their labels."""
    images, labels = tinted_images(IMAGES, seed=1, image_size=size)
    data = training_set(images, labels, spec, network=network)
    state = fresh_state(data, 4)
    shown = data.preprocessing(data.images).permute(0, 3, 1, 2)
    return copy.deepcopy(state.module), shown, data.labels  # type: ignore[return-value]


def trained(spec: OneCycleRecipe, network: str, size: int) -> Trained:
    images, labels = tinted_images(IMAGES, seed=1, image_size=size)
    (found,) = train_all(images, labels, spec=spec, seeds=[4], network=network)
    assert isinstance(found, Trained)
    return found


def by_hand(
    spec: OneCycleRecipe,
    network: str,
    size: int,
    optimizer_of: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
    decay: float,
    rates: list[float],
) -> list[nn.Module]:
    """The network after each update, by an optimizer of PyTorch's."""
    module, shown, labels = first_network(spec, network, size)
    named = [(name, one) for name, one in module.named_parameters() if one.requires_grad]
    weights = [one for name, one in named if name.endswith("weight") and one.ndim > 1]
    others = [one for name, one in named if not (name.endswith("weight") and one.ndim > 1)]
    optimizer = optimizer_of([{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}])
    after: list[nn.Module] = []
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = nn.functional.cross_entropy(module(shown)[0], labels)
        for parameter, gradient in zip(weights + others, torch.autograd.grad(loss, weights + others), strict=True):
            parameter.grad = gradient
        optimizer.step()
        after.append(copy.deepcopy(module))
    return after


def nesterov(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=1, momentum=0.8, nesterov=True)


def adamw(groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=1)


@pytest.mark.parametrize("network", ["compact", "resnet18"])
def test_the_shifts_of_batch_norms_learn_at_a_rate_of_their_own(network: str) -> None:
    """One update: they move seven times as far as they would, everything else as far as ever."""
    as_ever, faster = (one_cycle(epochs=1, **UNCHANGED, **changes) for changes in ({}, {"shift_rate": 7}))
    start, _, _ = first_network(as_ever, network, 32)
    before, plain, moved = (
        dict(module.named_parameters())
        for module in (start, trained(as_ever, network, 32).module, trained(faster, network, 32).module)
    )
    shifts = {f"{name}.bias" for name, layer in start.named_modules() if isinstance(layer, nn.BatchNorm2d) and name}
    assert shifts <= set(before), "each has one"
    for name, parameter in before.items():
        times = 7 if name in shifts else 1
        torch.testing.assert_close(moved[name] - parameter, times * (plain[name] - parameter), rtol=1e-4, atol=1e-7)
    assert all((plain[name] != before[name]).any() for name in shifts)


HAND: dict[str, tuple[dict[str, Any], Callable[[list[dict[str, Any]]], torch.optim.Optimizer], float]] = {
    "sgd": ({"optimizer": "sgd", "momentum": 0.8}, nesterov, 0.01),
    "adamw": ({"optimizer": "adamw"}, adamw, 0.002),
}


@pytest.mark.parametrize(("network", "size"), [("paper", 8), ("compact", 16)])
@pytest.mark.parametrize("optimizer", HAND)
def test_updates_are_those_of_pytorchs_optimizer(optimizer: str, network: str, size: int) -> None:
    """Four updates of an epoch each; the rate rises for two of them and falls by thirds."""
    changes, optimizer_of, peak = HAND[optimizer]
    spec = one_cycle(epochs=4, learning_rate=peak, warmup_epochs=2, weight_decay=0.5, **UNCHANGED, **changes)
    expected = by_hand(spec, network, size, optimizer_of, 0.5, [peak / 2, peak, peak * 2 / 3, peak / 3])[-1]
    found = trained(spec, network, size).module
    start, _, _ = first_network(spec, network, size)
    for name, one in expected.state_dict().items():
        if one.is_floating_point():
            moved = (one - start.state_dict()[name]).norm()
            assert (found.state_dict()[name] - one).norm() <= 0.01 * moved + 1e-6, name
        else:
            assert torch.equal(found.state_dict()[name], one), name


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_smoothed_label_is_partly_every_output(smoothing: float) -> None:
    spec = one_cycle(epochs=1, label_smoothing=smoothing, **UNCHANGED)
    module, shown, labels = first_network(spec, "compact", 16)
    logits = module(shown)[0].detach().double().numpy()
    surprise = np.log(np.exp(logits).sum(axis=1, keepdims=True)) - logits
    wanted = smoothing / OUTPUTS + (1 - smoothing) * np.eye(OUTPUTS)[labels.numpy()]
    assert trained(spec, "compact", 16).losses[0] == pytest.approx((wanted * surprise).sum(axis=1).mean(), rel=1e-5)


def test_the_network_that_is_kept_is_the_average_over_updates() -> None:
    """Weights are averaged from the first ones on; means and variances of norms are those of the last update."""
    changes, optimizer_of, peak = HAND["sgd"]
    spec = one_cycle(
        epochs=3, learning_rate=peak, warmup_epochs=1, weight_decay=0.5, ema_decay=0.6, **UNCHANGED, **changes
    )
    start, _, _ = first_network(spec, "compact", 16)
    after = by_hand(spec, "compact", 16, optimizer_of, 0.5, [peak, peak * 2 / 3, peak / 3])
    average = {name: one.detach().double() for name, one in start.named_parameters()}
    for module in after:
        for name, one in module.named_parameters():
            average[name] = 0.6 * average[name] + 0.4 * one.detach().double()
    found = trained(spec, "compact", 16)
    for name, one in found.module.named_parameters():
        apart = (after[-1].get_parameter(name) - average[name]).norm()
        assert (one - average[name]).norm() <= 0.02 * apart + 1e-6, name
    for name, buffer in after[-1].named_buffers():
        torch.testing.assert_close(found.module.get_buffer(name), buffer, rtol=1e-3, atol=1e-4)


def test_images_are_shown_as_they_were_drawn() -> None:
    """The first loss is that of images changed one by one, by the places and draws of the same seed."""
    spec = one_cycle(epochs=1, batch_size=500, crop_padding=3, cutout=5)
    images, labels = tinted_images(IMAGES, seed=1, image_size=16)
    data = training_set(images, labels, spec, network="compact")
    state, asked = fresh_state(data, 4), spec.augmentation
    assert asked is not None
    batch = next(state.batches)
    drawn = zip(batch.places.tolist(), batch.draws.tolist(), strict=True)
    shown = torch.from_numpy(np.stack([slowly(images[place], draws, asked) for place, draws in drawn]))

    def loss_of(shown: Tensor, labels: Tensor) -> float:
        logits, _ = state.module(data.preprocessing(shown).permute(0, 3, 1, 2))
        return nn.functional.cross_entropy(logits, labels).item()

    found = trained(spec, "compact", 16).losses[0]
    assert found == pytest.approx(loss_of(shown, data.labels[batch.places]), rel=1e-5)
    assert found != pytest.approx(loss_of(data.images, data.labels), rel=1e-3)


def test_it_learns() -> None:
    images, labels = tinted_images(160, seed=1, image_size=16)
    spec = one_cycle(epochs=2, learning_rate=0.05, cutout=4, ema_decay=0.5, label_smoothing=0.1)
    (found,) = train_all(images, labels, spec=spec, seeds=[4], network="compact")
    assert isinstance(found, Trained)
    assert found.losses[1] < 0.8 * found.losses[0]


def test_a_seed_decides_every_byte_and_companions_none() -> None:
    images, labels = tinted_images(40, seed=1)
    spec = one_cycle(epochs=2, cutout=3)
    runs = {seeds: train_all(images, labels, spec=spec, seeds=seeds) for seeds in ((5, 6), (6,), (7,))}
    bytes_of = {
        (seeds, one.seed): b"".join(tensor.numpy().tobytes() for tensor in one.module.state_dict().values())
        for seeds, results in runs.items()
        for one in results
        if isinstance(one, Trained)
    }
    assert bytes_of[(5, 6), 6] == bytes_of[(6,), 6]
    assert len(set(bytes_of.values())) == 3
