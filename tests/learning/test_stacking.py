"""Many networks as one: each form says what the networks say one at a time, and none hears of another."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from noisegate.learning.stacking import FORMS, Form
from noisegate.networks import building

from .factories import fresh

OUTPUTS = 5


def networks(count: int, image_size: int) -> list[nn.Module]:
    """In float64, biases and all, so that what is left of a difference is one of arithmetic and not of rounding."""
    built: list[nn.Module] = []
    for seed in range(count):
        module = fresh("paper", image_size, OUTPUTS)
        generator = torch.Generator().manual_seed(seed)
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.1, generator=generator)
        built.append(module.double())
    return built


def stacked(modules: list[nn.Module]) -> dict[str, Tensor]:
    named = [dict(module.named_parameters()) for module in modules]
    return {name: torch.stack([one[name].detach() for one in named]).requires_grad_() for name in named[0]}


def architecture(image_size: int) -> nn.Module:
    return building.architecture("paper", image_size=image_size, outputs=OUTPUTS)


def batches(count: int, image_size: int, size: int = 6) -> Tensor:
    return torch.from_numpy(np.random.default_rng(3).normal(0, 30, (count, size, image_size, image_size, 3)))


@pytest.mark.parametrize("image_size", [8, 15, 32])
@pytest.mark.parametrize("form", FORMS)
def test_logits_and_gradients_are_those_of_each_network_alone(form: Form, image_size: int) -> None:
    modules, images = networks(3, image_size), batches(3, image_size)
    parameters = stacked(modules)
    weights = torch.linspace(-1, 1, OUTPUTS, dtype=torch.float64)
    logits = FORMS[form](architecture(image_size), parameters, images)
    gradients = torch.autograd.grad((logits.square() * weights).sum(), list(parameters.values()))
    for number, module in enumerate(modules):
        alone, _ = module(images[number].permute(0, 3, 1, 2))
        torch.testing.assert_close(logits[number], alone, rtol=1e-10, atol=1e-10)
        expected = torch.autograd.grad((alone.square() * weights).sum(), list(module.parameters()))
        for found, one in zip(gradients, expected, strict=True):
            torch.testing.assert_close(found[number], one, rtol=1e-9, atol=1e-9 * float(one.abs().max()))


@pytest.mark.parametrize("form", FORMS)
def test_a_network_that_is_no_number_spoils_no_other(form: Form) -> None:
    modules, images = networks(3, 8), batches(3, 8)
    with torch.no_grad():
        next(modules[1].parameters()).fill_(torch.nan)
    parameters = stacked(modules)
    logits = FORMS[form](architecture(8), parameters, images)
    losses = functional.cross_entropy(logits.flatten(0, 1), torch.zeros(18, dtype=torch.int64), reduction="none")
    gradients = torch.autograd.grad(losses.sum(), list(parameters.values()))
    assert logits[1].isnan().all()
    assert all(gradient[[0, 2]].isfinite().all() for gradient in [logits, *gradients])


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_stays_bfloat16(form: Form) -> None:
    parameters = {name: one.to(torch.bfloat16) for name, one in stacked(networks(2, 16)).items()}
    exact = FORMS[form](architecture(16), stacked(networks(2, 16)), batches(2, 16))
    logits = FORMS[form](architecture(16), parameters, batches(2, 16).to(torch.bfloat16))
    assert logits.dtype == torch.bfloat16
    assert ((logits.double() - exact).norm() / exact.norm()).item() < 0.02


@pytest.mark.parametrize("form", FORMS)
def test_on_a_gpu_every_tensor_is_there(form: Form) -> None:
    """On tensors without values, which know their device: one left on the CPU would be refused."""
    module = architecture(32)
    with FakeTensorMode():
        parameters = {
            name: torch.empty(7, *one.shape, device="cuda", dtype=torch.bfloat16)
            for name, one in module.named_parameters()
        }
        images = torch.empty(7, 128, 32, 32, 3, device="cuda", dtype=torch.bfloat16)
        logits = FORMS[form](module, parameters, images)
    assert (logits.shape, logits.device.type) == ((7, 128, OUTPUTS), "cuda")


def test_a_layer_without_a_stacked_form_is_refused() -> None:
    module = nn.Module()
    module.body = nn.Sequential(nn.Sigmoid())
    with pytest.raises(NotImplementedError, match="Sigmoid"):
        FORMS["grouped"](module, {}, batches(1, 8))


BODIES: dict[str, Callable[[], list[nn.Module]]] = {
    "no pooling": lambda: [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()],
    "two in a row": lambda: [nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 5, padding=2), nn.ReLU()],
    "nothing between it and the end": lambda: [nn.Conv2d(3, 4, 5, padding=2)],
    "pooling after the activation": lambda: [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)],
    "no bias": lambda: [nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.ReLU()],
}


class Layered(nn.Module):
    """Layers one after another, of sizes that a forward pass finds out."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        values = nn.Sequential(*layers, nn.Flatten())(torch.zeros(1, 3, 8, 8)).shape[1]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(values, 6), nn.ReLU())
        self.head = nn.Linear(6, OUTPUTS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return self.head(features), features


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("form", FORMS)
def test_a_convolutions_bias_is_added_whatever_follows_it(form: Form, body: str) -> None:
    modules: list[nn.Module] = []
    for seed in range(3):
        modules.append(Layered(BODIES[body]()).double())
        for parameter in modules[-1].parameters():
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(seed))
    images, parameters = batches(3, 8), stacked(modules)
    logits = FORMS[form](modules[0], parameters, images)
    gradients = torch.autograd.grad(logits.square().sum(), list(parameters.values()))
    for number, module in enumerate(modules):
        alone, _ = module(images[number].permute(0, 3, 1, 2))
        torch.testing.assert_close(logits[number], alone, rtol=1e-10, atol=1e-10)
        expected = torch.autograd.grad(alone.square().sum(), list(module.parameters()))
        for found, one in zip(gradients, expected, strict=True):
            torch.testing.assert_close(found[number], one, rtol=1e-9, atol=1e-9 * float(one.abs().max()))
