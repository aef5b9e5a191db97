"""The last layer of a classifier whose other layers are a backbone's."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from noisegate.networks.building import Start, TrainableNetwork
from noisegate.networks.preprocessing import Statistics

_INITIAL_STD = 0.01


class LinearHead(TrainableNetwork):
    """Takes features in place of images, and answers with them beside the logits."""

    statistics: ClassVar[Statistics] = "features"

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, outputs)

    def forward(
        self, features: Float[Tensor, "batch width"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch width"]]:
        return self.head(features), features

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, start: Start) -> None:  # noqa: ARG002
        self.head.weight.normal_(0, _INITIAL_STD, generator=generator)
        self.head.bias.zero_()


def build(width: int, outputs: int) -> LinearHead:
    """For features of this width, where other networks are told the side of an image."""
    return LinearHead(width, outputs)
