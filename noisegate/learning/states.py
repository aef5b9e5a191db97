"""What executions start from: the training set on its device, and a network that has not been trained yet."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor, nn

from noisegate.learning.batches import Batches
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.recipe import Precision, make_optimizer
from noisegate.networks.paper import build_network
from noisegate.spec import TrainingSpec


@dataclass(frozen=True)
class TrainingSet:
    """What the executions of a cell share, on their device. `network` is a key of `NETWORKS`."""

    images: UInt8[Tensor, "n size size 3"]
    labels: Int64[Tensor, " n"]
    mean: Float32[Tensor, "size size 3"]
    network: str
    outputs: int
    spec: TrainingSpec
    precision: Precision

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def image_size(self) -> int:
        return self.images.shape[1]


def fresh_state(data: TrainingSet, seed: int) -> TrainingState:
    """An execution before its first batch. The seed decides its weights and the order of its images, on any device."""
    generator = torch.Generator().manual_seed(seed)
    module = build_network(
        data.network,
        image_size=data.image_size,
        outputs=data.outputs,
        first_layer_std=data.spec.first_layer_std,
        generator=generator,
    )
    return state_of(data, seed, module.to(data.device).to(memory_format=torch.channels_last).train(), generator)


def state_of(data: TrainingSet, seed: int, module: nn.Module, generator: torch.Generator) -> TrainingState:
    """A network that is about to be trained on these images, whose order `generator` draws."""
    weights = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in module.parameters() if parameter.ndim == 1]
    batches = Batches(len(data.images), data.spec.batch_size, generator, data.device)
    return TrainingState(seed, data.precision, module, make_optimizer(weights, biases, data.spec), batches)
