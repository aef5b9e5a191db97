"""torchvision's ResNet-18 with logits and features (He et al. 2016)."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from noisegate.networks.building import Start, TrainableNetwork
from noisegate.networks.layers import initialise_convolution, initialise_linear, initialise_norm
from noisegate.networks.preprocessing import Statistics

# Up to here images are small: torchvision's own stem would leave a quarter of their sides before the first block.
_SMALL = 64


class ResNet18(TrainableNetwork):
    """Two basic blocks a stage, 64 to 512 channels; the features are the 512 means before the last layer."""

    statistics: ClassVar[Statistics] = "channels"

    def __init__(self, image_size: int, outputs: int) -> None:
        super().__init__()
        self.network = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=outputs)
        if image_size <= _SMALL:
            self.network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            self.network.maxpool = nn.Identity()
        # The last layer is called here, as the features are wanted too.
        self.head = self.network.fc
        self.network.fc = nn.Identity()

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch 512"]]:
        features: Tensor = self.network(images)
        return self.head(features), features

    def initialise(self, generator: torch.Generator, start: Start) -> None:  # noqa: ARG002
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                initialise_convolution(layer, generator)
            elif isinstance(layer, nn.BatchNorm2d):
                initialise_norm(layer)
        initialise_linear(self.head, generator)


def build(image_size: int, outputs: int) -> ResNet18:
    """For square images of `image_size` pixels a side."""
    return ResNet18(image_size, outputs)
