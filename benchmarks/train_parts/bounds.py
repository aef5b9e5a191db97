"""What no way of training could do without: the arithmetic of a step, and the bytes that it moves at the very least."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from noisegate.networks.building import architecture

_ACTIVATION_BYTES = 2  # bfloat16
_PARAMETER_BYTES = 4
# Forward written and read, backward the gradient written and read.
_PASSES_OF_ACTIVATIONS = 4
# Weights read forward and backward; gradients written and read; weights and momenta read and written by the update.
_PASSES_OF_PARAMETERS = 8
# Shown forward, and again for the gradient of the first layer's weights.
_PASSES_OF_IMAGES = 2


@dataclass(frozen=True)
class Work:
    """Of one execution's step."""

    flops: int
    bytes: int


def work_of_step(*, image_size: int, outputs: int, batch: int) -> Work:
    """Counted on PyTorch's meta device. The gradient of the images is not among it: nobody asks for it.

    A layer's ReLU and bias count as done where its values are at hand anyway.
    """
    module = architecture("paper", image_size=image_size, outputs=outputs)
    with torch.device("meta"):
        images = torch.empty(batch, 3, image_size, image_size)
        labels = torch.empty(batch, dtype=torch.int64)
    values: list[int] = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            layer.register_forward_hook(lambda _layer, _given, made: values.append(made.numel()))
    with FlopCounterMode(display=False) as counter:
        logits, _ = module(images)
        torch.autograd.grad(functional.cross_entropy(logits, labels), list(module.parameters()))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    moved = (
        _PASSES_OF_ACTIVATIONS * _ACTIVATION_BYTES * sum(values)
        + _PASSES_OF_PARAMETERS * _PARAMETER_BYTES * parameters
        + _PASSES_OF_IMAGES * images.numel()
    )
    return Work(counter.get_total_flops(), moved)
