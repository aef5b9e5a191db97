"""Networks that others have trained, with what it takes to show them an image."""

from dataclasses import dataclass

from torch import nn

from noisegate.documents import Source
from noisegate.networks.backbones import Backbone
from noisegate.networks.preprocessing import Preprocessing


@dataclass(frozen=True)
class Pretrained:
    """Somebody else's network: on the CPU, float32, in evaluation mode.

    An image is divided by 255, then `mean` is subtracted and the rest divided by `std` (red, green, blue). The network
    was trained on the centre of a larger image; ours are resized straight to `image_size`, which shows it what lies at
    the edges too, a little smaller. `torchvision` is the version that it comes from.
    """

    network: nn.Module
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: Source
    torchvision: str


@dataclass(frozen=True)
class LoadedBackbone:
    """A network that answers with features, on the CPU, float32, in evaluation mode.

    Attributes:
        preprocessing: in levels of 0 … 255.
        source: the file that the weights come from.
    """

    backbone: Backbone
    network: nn.Module
    preprocessing: Preprocessing
    source: Source
