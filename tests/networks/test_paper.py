import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.learning.factories import fresh


def build(image_size: int = 32, outputs: int = 11, seed: int = 0, first_layer_std: float = 0.0001) -> nn.Module:
    return fresh("paper", image_size, outputs, seed, first_layer_std)


def test_layers_of_the_paper() -> None:
    shapes = [tuple(parameter.shape) for parameter in build().parameters() if parameter.ndim > 1]
    assert shapes == [(32, 3, 5, 5), (32, 32, 5, 5), (64, 32, 5, 5), (64, 64 * 3 * 3), (11, 64)]


@pytest.mark.parametrize("image_size", [*range(8, 40), 224])
def test_every_image_size_from_eight_up(image_size: int) -> None:
    logits, features = build(image_size)(torch.rand(2, 3, image_size, image_size))
    assert logits.shape == (2, 11)
    assert features.shape == (2, 64)


def test_pooling_before_relu_is_the_papers_relu_before_pooling() -> None:
    module = build(first_layer_std=0.05)
    images = torch.randn(3, 3, 32, 32) * 60
    weights = list(module.parameters())
    x = images
    for layer in range(3):
        convolved = functional.conv2d(x, weights[2 * layer], weights[2 * layer + 1], padding=2)
        x = functional.max_pool2d(functional.relu(convolved), 3, 2)
    expected_features = functional.relu(functional.linear(x.flatten(1), weights[6], weights[7]))
    logits, features = module(images)
    torch.testing.assert_close(features, expected_features)
    torch.testing.assert_close(logits, functional.linear(expected_features, weights[8], weights[9]))


def test_initial_weights() -> None:
    first, *others = [parameter for parameter in build().parameters() if parameter.ndim > 1]
    assert first.std().item() == pytest.approx(0.0001, rel=0.1)
    for weight in others:
        assert weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert abs(weight.mean().item()) < 0.01 * 5 / weight.numel() ** 0.5
    assert all(not parameter.any() for parameter in build().parameters() if parameter.ndim == 1)


def test_the_generator_alone_decides_the_weights() -> None:
    before = torch.get_rng_state()
    one, again, other = (nn.utils.parameters_to_vector(build(seed=seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)
