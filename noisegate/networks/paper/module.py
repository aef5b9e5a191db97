"""The network of the paper (PAPER.md, "Recipe")."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from noisegate.networks.building import Start, TrainableNetwork

_OTHER_LAYERS_STD = 0.01


class PaperNetwork(TrainableNetwork):
    """Three 5×5 convolutions (32, 32, 64), each max-pooled 3 by stride 2, then 64 fully connected (PAPER.md, "Recipe").

    Pooling comes before the ReLU: they commute, and the ReLU then has a quarter of the values. Pooling is unpadded and
    rounds down (32 → 15 → 7 → 3) as in MATLAB; an image too small for a window of 3 is pooled whole, so every image
    size from 8 up works.
    """

    stacked_forms = ("grouped", "multiplied", "vmapped")

    def __init__(self, image_size: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, side = 3, image_size
        for width in (32, 32, 64):
            window = min(3, side)
            layers += [nn.Conv2d(channels, width, 5, padding=2), nn.MaxPool2d(window, stride=2), nn.ReLU()]
            channels, side = width, (side - window) // 2 + 1
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, 64), nn.ReLU())
        self.head = nn.Linear(64, outputs)

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch 64"]]:
        """Logits, and the 64 features (after the last ReLU) that they are a linear function of."""
        features = self.body(images)
        return self.head(features), features

    def initialise(self, generator: torch.Generator, start: Start) -> None:
        """Weights N(0, 0.01²), those of the first layer N(0, `start.first_layer_std`²), biases 0."""
        std = start.first_layer_std
        for parameter in self.parameters():
            if parameter.ndim == 1:
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=std, generator=generator)
                std = _OTHER_LAYERS_STD


def build(image_size: int, outputs: int) -> PaperNetwork:
    """For square images of `image_size` pixels a side, from 8 up."""
    return PaperNetwork(image_size, outputs)
