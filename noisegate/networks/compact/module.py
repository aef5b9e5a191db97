"""A compact network in the manner of those that learn CIFAR-10 in a few epochs: whitened patches, pairs of 3×3 convolutions with
batch norm and pooling, and a linear head on the largest values.
"""

from typing import ClassVar

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from noisegate.networks.building import Start, TrainableNetwork
from noisegate.networks.layers import initialise_linear, initialise_norm
from noisegate.networks.preprocessing import Statistics

_WIDTHS = (64, 128, 256)
_PATCH = 2
# Each principal component of a patch gives two filters, one of either sign: the ReLU would lose half of it otherwise.
_COMPONENTS = 3 * _PATCH**2
# Added to the variance of a component before its square root divides by it: faint ones are mostly rounding of the pixels.
_LEAST_VARIANCE = 5e-4
# Few epochs leave few steps for running means to settle in.
_NORM_MOMENTUM = 0.4
# The largest of many values is large: the logits of a fresh network would be, too.
_HEAD_SCALE = 1 / 9


class Compact(TrainableNetwork):
    """Whitening 2×2, then three pairs of 3×3 convolutions, each pair at half the side of the one before.

    The whitening is a buffer: it follows from the training images and is not trained. Features are the largest value of each
    channel over the image, so every image size from 16 up works.
    """

    statistics: ClassVar[Statistics] = "channels"

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.whitening: Tensor
        self.register_buffer("whitening", torch.empty(2 * _COMPONENTS, 3, _PATCH, _PATCH))
        channels, layers = 2 * _COMPONENTS, list[nn.Module]()
        for width in _WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.MaxPool2d(2), *_norm_and_activation(width)]
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), *_norm_and_activation(width)]
            channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, outputs, bias=False)

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch 256"]]:
        whitened = functional.relu(functional.conv2d(images, self.whitening))
        features = self.body(whitened).amax(dim=(2, 3)) * _HEAD_SCALE
        return self.head(features), features

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, start: Start) -> None:
        """Convolutions hand their inputs on at first, as far as they have channels for them; the rest is PyTorch's own start."""
        self.whitening.copy_(_random_filters(generator) if start.shown is None else whitening_filters(start.shown))
        for layer in self.body:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
                nn.init.dirac_(layer.weight[: layer.in_channels])
            elif isinstance(layer, nn.BatchNorm2d):
                initialise_norm(layer)
        initialise_linear(self.head, generator)


def build(image_size: int, outputs: int) -> Compact:  # noqa: ARG001
    """For square images of any size from 16 pixels a side up."""
    return Compact(outputs)


def whitening_filters(shown: Float32[Tensor, "n size size 3"]) -> Float32[Tensor, "filters 3 patch patch"]:
    """The principal components of the images' patches, each divided by its standard deviation, in both signs.

    Args:
        shown: images as the network is shown them.
    """
    windows = shown.permute(0, 3, 1, 2).unfold(2, _PATCH, 1).unfold(3, _PATCH, 1)
    patches = windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2).double()
    variances, components = torch.linalg.eigh(patches.T @ patches / len(patches))
    scaled = components / (variances + _LEAST_VARIANCE).sqrt()
    # Eigenvectors come in either sign: theirs is fixed, so that the same images give the same filters everywhere.
    largest = scaled.gather(0, scaled.abs().argmax(dim=0, keepdim=True))
    filters = (scaled * largest.sign()).T.flip(0).reshape(_COMPONENTS, 3, _PATCH, _PATCH).float()
    return torch.cat([filters, -filters])


def _random_filters(generator: torch.Generator) -> Float32[Tensor, "filters 3 patch patch"]:
    """Orthogonal ones, where there are no images to go by."""
    drawn, _ = torch.linalg.qr(torch.randn(_COMPONENTS, _COMPONENTS, generator=generator))
    filters = drawn.reshape(_COMPONENTS, 3, _PATCH, _PATCH)
    return torch.cat([filters, -filters])


def _norm_and_activation(width: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(width, momentum=_NORM_MOMENTUM), nn.ReLU()]
