"""The part of a backbone that goes on training, and the layer that answers with classes."""

from typing import ClassVar

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn

from noisegate.networks.backbones import backbone_of
from noisegate.networks.backbones.cutting import depths, late_part
from noisegate.networks.building import Start, TrainableNetwork
from noisegate.networks.preprocessing import Statistics

_INITIAL_STD = 0.01
_LAYERS = "layers."


class Tail(TrainableNetwork):
    """Takes activations, which the backbone's early layers have computed, in place of images.

    It stays in evaluation mode: its norms keep the statistics of the images that the backbone was made with, as a batch of some
    tens says little about its own. Their scales and shifts are trained.
    """

    statistics: ClassVar[Statistics] = "none"

    def __init__(self, layers: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = layers.requires_grad_(True)
        self.head = nn.Linear(width, outputs)
        found = depths(name for name, _ in layers.named_parameters())
        self._depths = {_LAYERS + name: depth for name, depth in found.items()}

    def forward(
        self, activations: Float[Tensor, "batch channels side side"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch width"]]:
        features = self.layers(activations)
        return self.head(features), features

    def train(self, mode: bool = True) -> "Tail":  # noqa: ARG002
        """Stays in evaluation mode."""
        return super().train(False)

    def depth_of(self, parameter: str) -> int:
        return self._depths.get(parameter, 0)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, start: Start) -> None:
        """The backbone's own weights, and a small random head."""
        own = {name: start.pretrained[name] for name in self.layers.state_dict()}
        self.layers.load_state_dict(own)
        self.head.weight.normal_(0, _INITIAL_STD, generator=generator)
        self.head.bias.zero_()


def build(backbone: str, outputs: int) -> Tail:
    """For activations of the backbone of this name, where other networks are told the side of an image."""
    cut = backbone_of(backbone).cut
    assert cut is not None, "specs name backbones that can be cut"
    layers = late_part(timm.create_model(backbone, pretrained=False, num_classes=0), cut.upto)
    width = layers.head_hidden_size
    assert isinstance(width, int)
    return Tail(layers, width, outputs)
