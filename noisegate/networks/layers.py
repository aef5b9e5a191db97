"""First values of usual layers, for networks that initialise themselves."""

import math

import torch
from torch import nn


@torch.no_grad()
def initialise_convolution(layer: nn.Conv2d, generator: torch.Generator) -> None:
    """Normal weights that keep the variance of what ReLU lets through, by the outputs (He et al. 2015); bias 0."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


@torch.no_grad()
def initialise_linear(layer: nn.Linear, generator: torch.Generator) -> None:
    """PyTorch's own: weights and bias evenly in ± 1/√inputs."""
    bound = 1 / math.sqrt(layer.in_features)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    if layer.bias is not None:
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


@torch.no_grad()
def initialise_norm(layer: nn.BatchNorm2d) -> None:
    """Scale 1, shift 0, and no image seen yet."""
    if layer.affine:
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    if layer.track_running_stats:
        layer.reset_running_stats()
