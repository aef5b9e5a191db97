"""From a network's name to a module: what every architecture must be able to do, and how one gets its first weights."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import ClassVar, cast

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from noisegate.networks import network_of
from noisegate.networks.preprocessing import Statistics

Build = Callable[[int | str, int], "TrainableNetwork"]


@dataclass(frozen=True)
class Start:
    """What an initialisation may go by, besides its generator.

    Attributes:
        first_layer_std: the recipe's, for networks that take it.
        shown: a sample of the known training images (or features) as the network will be shown them, channels last; on the CPU.
            None where there are no images, as for a graph whose weights do not matter, and where there are weights to begin with.
        pretrained: a backbone's weights by timm's names, for networks that consist of its layers.
    """

    first_layer_std: float = 0.01
    shown: Float32[Tensor, "*shape"] | None = None
    pretrained: Mapping[str, Tensor] = field(default_factory=dict)


class TrainableNetwork(nn.Module, ABC):
    """A network of ours.

    Attributes:
        statistics: by which statistics of the training images it wants to be shown images.
        stacked_forms: the forms of `noisegate.learning.stacking` that compute it right. None by default: batch norm, say, has
            buffers, which stacked runs cannot share, and every network may be trained by itself.
    """

    statistics: ClassVar[Statistics] = "mean_image"
    stacked_forms: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch width"]]:
        """Logits, and the features that they are a linear function of."""

    def depth_of(self, parameter: str) -> int:  # noqa: ARG002
        """How many blocks a parameter lies below the head, by its name: what recipes may go by. 0 for networks without depths."""
        return 0

    @abstractmethod
    def initialise(self, generator: torch.Generator, start: Start) -> None:
        """Give every parameter and every buffer its first value, on the CPU; all of them hold arbitrary numbers before.

        The same generator state and `start` must give the same values.
        """


def architecture(name: str, *, image_size: int, outputs: int) -> TrainableNetwork:
    """The module on PyTorch's meta device: layers and shapes, no values.

    Args:
        name: a key of `NETWORKS`, or what is trained of a backbone or on one (`network_of`).
        image_size: pixels a side, at least the network's own least; of `linear`, the number of features; networks that have a
            backbone take any.
        outputs: the number of logits, the noise class included.
    """
    asked = network_of(name)
    build = cast(Build, import_module(asked.module).build)
    with torch.device("meta"):
        return build(image_size if asked.backbone is None else asked.backbone, outputs)


def fresh_network(
    name: str, *, image_size: int, outputs: int, generator: torch.Generator, start: Start
) -> TrainableNetwork:
    """The network with its first weights, on the CPU; `generator` (a CPU's) and `start` alone decide them."""
    # Built without storage: PyTorch's own initial values would only cost time and draws from its global generator.
    module = architecture(name, image_size=image_size, outputs=outputs)
    module.to_empty(device="cpu")
    module.initialise(generator, start)
    return module
