"""A compact network for images of 32 to 96 pixels, in the manner of those that learn CIFAR-10 in a few epochs.

The plan is that of Keller Jordan's airbench94 (arXiv:2404.00498): whitened 2×2 patches, three blocks of two 3×3 convolutions that
each halve the sides, the largest value of each channel, and a scaled head.
"""

from typing import ClassVar

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor, nn
from torch.nn import functional

from noisegate.networks.building import Start, TrainableNetwork
from noisegate.networks.layers import initialise_norm
from noisegate.networks.preprocessing import Statistics

_PATCH = 2
_COMPONENTS = 3 * _PATCH**2
_WIDTHS = (64, 256, 256)
# Added to a component's variance before its square root divides by it: faint components are mostly rounding of the pixels.
_LEAST_VARIANCE = 5e-4
# The largest of many values is large; the logits of a fresh network would be, too.
_HEAD_SCALE = 1 / 9
# PyTorch's own start of a convolution and of a linear layer.
_SLOPE = 5**0.5


class Compact(TrainableNetwork):
    """2.0 million parameters. The whitening is a buffer: it follows from the training images and is not trained.

    Features are the largest value of each channel over the image, so every image size from 16 up works.
    """

    statistics: ClassVar[Statistics] = "channels"

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.whitening: Tensor
        self.register_buffer("whitening", torch.empty(2 * _COMPONENTS, 3, _PATCH, _PATCH))
        inputs = (2 * _COMPONENTS, *_WIDTHS)
        self.blocks = nn.Sequential(*(Block(*widths) for widths in zip(inputs, _WIDTHS, strict=False)))
        self.head = nn.Linear(_WIDTHS[-1], outputs, bias=False)

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch 256"]]:
        whitened = functional.silu(functional.conv2d(images, self.whitening))
        features = self.blocks(whitened).amax(dim=(2, 3)) * _HEAD_SCALE
        return self.head(features), features

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, start: Start) -> None:
        """Convolutions hand their inputs on at first, as far as they have channels for them; the rest is PyTorch's own start."""
        covariance = _usual_covariance() if start.shown is None else patch_covariance(start.shown)
        self.whitening.copy_(whitening_filters(covariance))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=_SLOPE, generator=generator)
                nn.init.dirac_(layer.weight[: layer.in_channels])
            elif isinstance(layer, nn.BatchNorm2d):
                initialise_norm(layer)
        nn.init.kaiming_uniform_(self.head.weight, a=_SLOPE, generator=generator)


class Block(nn.Module):
    """Halves the sides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # Pooling before norm and activation: they then see a quarter of the values.
        self.first = nn.Sequential(_convolution(inputs, outputs), nn.MaxPool2d(2), _norm(outputs), nn.SiLU())
        self.second = nn.Sequential(_convolution(outputs, outputs), _norm(outputs), nn.SiLU())

    def forward(self, images: Float[Tensor, "batch inputs side side"]) -> Float[Tensor, "batch outputs half half"]:
        found: Tensor = self.second(self.first(images))
        return found


def build(image_size: int, outputs: int) -> Compact:  # noqa: ARG001
    """For square images of any size from 16 pixels a side up."""
    return Compact(outputs)


def whitening_filters(covariance: Float64[Tensor, "values values"]) -> Float32[Tensor, "filters 3 patch patch"]:
    """The principal components of the patches, each divided by its standard deviation, in both signs."""
    variances, components = torch.linalg.eigh(covariance)
    scaled = (components / (variances + _LEAST_VARIANCE).sqrt()).flip(1)
    # Eigenvectors come in either sign: theirs is fixed, so that the same images give the same filters everywhere.
    signs = scaled.gather(0, scaled.abs().argmax(dim=0, keepdim=True)).sign()
    filters = (scaled * signs).T.reshape(_COMPONENTS, 3, _PATCH, _PATCH).float()
    return torch.cat([filters, -filters])


def patch_covariance(shown: Float32[Tensor, "n size size 3"]) -> Float64[Tensor, "values values"]:
    """Of the patches that the first convolution sees, of images as the network is shown them."""
    patches = functional.unfold(shown.permute(0, 3, 1, 2), _PATCH).transpose(1, 2).flatten(0, 1).double()
    return patches.T @ patches / len(patches)


def _usual_covariance() -> Float64[Tensor, "values values"]:
    """What natural images have, roughly, where there are none to go by: pixels and colours correlate, less with distance."""
    places = torch.cartesian_prod(torch.arange(_PATCH), torch.arange(_PATCH)).double()
    colours = torch.full((3, 3), 0.9, dtype=torch.float64).fill_diagonal_(1)
    return torch.kron(colours, torch.exp(-torch.cdist(places, places) / 8))


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    norm.weight.requires_grad_(False)  # the next convolution scales as it likes
    return norm
