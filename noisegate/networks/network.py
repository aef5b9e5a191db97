"""What a spec needs to know of an architecture. The architecture itself lies in a module of torch, imported by name."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """One entry of `noisegate.networks.NETWORKS`; its room holds the module beside it.

    Attributes:
        name: as specs and manifests write it.
        summary: the architecture in a sentence.
        module: the dotted name of the module that has `build(image_size, outputs) -> TrainableNetwork`, or `build(backbone,
            outputs)` of a network that has a backbone. Only processes that train import it.
        least_image_size: pixels a side below which it cannot be built.
        least_batch_size: images a step below which it cannot be trained: batch norm needs more than one value of a channel.
        recipes: those that can train it, by their names; None for all.
        takes_first_layer_std: whether `training.first_layer_std` means anything to it.
        backbone: the full name of the one whose layers it consists of; None for networks that are all our own.
    """

    name: str
    summary: str
    module: str
    least_image_size: int = 8
    least_batch_size: int = 1
    recipes: Collection[str] | None = None
    takes_first_layer_std: bool = False
    backbone: str | None = None
