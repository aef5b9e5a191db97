"""What runs start from: the training set on its device, and a network that has not been trained yet."""

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from noisegate.learning.batches import Batches
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.recipe import Precision, make_optimizer
from noisegate.networks.building import Start, TrainableNetwork, fresh_network
from noisegate.networks.preprocessing import InputTensor, Preprocessing
from noisegate.spec.recipes import TrainingSpec

# Known training images that an initialisation may look at: enough for the statistics of small patches.
_SAMPLED = 2000


@dataclass(frozen=True)
class TrainingSet:
    """What the runs of a cell share, on their device. `network` is a key of `NETWORKS`; `linear` is trained on features.

    The first `known_images` of the images are not noise.
    """

    images: InputTensor
    labels: Int64[Tensor, " n"]
    preprocessing: Preprocessing
    network: str
    outputs: int
    spec: TrainingSpec
    precision: Precision
    known_images: int

    @property
    def device(self) -> torch.device:
        return self.images.device

    @property
    def image_size(self) -> int:
        """Pixels a side; of features, their number."""
        return self.images.shape[1]

    @property
    def sample(self) -> InputTensor:
        """Known images in even steps through the training set, the same ones for every seed."""
        step = max(1, self.known_images // _SAMPLED)
        return self.images[: self.known_images : step][:_SAMPLED]


def fresh_state(data: TrainingSet, seed: int) -> TrainingState:
    """A run before its first batch. The seed decides its weights and the order of its images, on any device."""
    generator = torch.Generator().manual_seed(seed)
    std = data.spec.initial_std
    shown = data.preprocessing.to("cpu")(data.sample.cpu())
    module = fresh_network(
        data.network,
        image_size=data.image_size,
        outputs=data.outputs,
        generator=generator,
        start=Start(shown=shown) if std is None else Start(first_layer_std=std, shown=shown),
    )
    return state_of(data, seed, module.to(data.device).to(memory_format=torch.channels_last).train(), generator)


def state_of(data: TrainingSet, seed: int, module: TrainableNetwork, generator: torch.Generator) -> TrainingState:
    """A network that is about to be trained on these images, whose order `generator` draws."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    batches = Batches(
        len(data.images), data.spec.batch_size, generator, data.device, data.spec.augmentation, data.image_size
    )
    average = copy.deepcopy(module).eval() if data.spec.average_decay is not None else None
    optimizer = make_optimizer([(one, one) for one in trained], data.spec)
    return TrainingState(seed, data.precision, module, optimizer, batches, average)
