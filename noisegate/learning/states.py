"""What runs start from: the training set on its device, and a network that has not been trained yet."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from noisegate.learning.batches import Batches
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.recipe import Precision, choose_precision, make_optimizer
from noisegate.learning.recording import SampleRecord
from noisegate.networks.building import Start, TrainableNetwork, architecture, fresh_network
from noisegate.networks.preprocessing import Inputs, InputTensor, Preprocessing, fitted
from noisegate.spec.recipe import TrainingSpec

# Known training images that an initialisation may look at: enough for the statistics of small patches.
_SAMPLED = 2000


@dataclass(frozen=True)
class Holdout:
    """What runs are measured on after each epoch, on their device."""

    images: InputTensor
    labels: Int64[Tensor, " held"]


@dataclass(frozen=True)
class TrainingSet:
    """What the runs of a cell share, on their device. `network` is what `architecture` takes; some are trained on features.

    The first `known_images` of the images are not noise. `flipped` are the features of all images mirrored left to right, where
    they are shown, too; `pretrained` is what runs begin with (`Start.pretrained`); `holdout` is None unless a run may stop early.
    `class_weights` say how much an image of each class counts in the loss; None where all count alike. `records` is whether runs
    keep what they say of each image (noisegate.learning.recording).
    """

    images: InputTensor
    labels: Int64[Tensor, " n"]
    preprocessing: Preprocessing
    network: str
    outputs: int
    spec: TrainingSpec
    precision: Precision
    known_images: int
    flipped: InputTensor | None = None
    pretrained: Mapping[str, Tensor] = field(default_factory=dict)
    holdout: Holdout | None = None
    class_weights: Float32[Tensor, " outputs"] | None = None
    records: bool = False

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


@dataclass(frozen=True)
class Beside:
    """What some recipes need beside the training images.

    Attributes:
        flipped: the features of all images mirrored left to right, where a recipe flips what is trained on features.
        pretrained: weights to begin with, for networks that consist of a backbone's layers.
        holdout: images, or features, and labels that are not trained on, for recipes that stop early.
    """

    flipped: Inputs | None = None
    pretrained: Mapping[str, Tensor] = field(default_factory=dict)
    holdout: tuple[Inputs, Int64[np.ndarray, " held"]] | None = None


def make_training_set(
    images: Inputs,
    labels: Int64[np.ndarray, " n"],
    network: str,
    outputs: int,
    spec: TrainingSpec,
    device: torch.device,
    known_images: int,
    beside: Beside | None = None,
    noise_weight: float = 1.0,
    *,
    records: bool = False,
) -> TrainingSet:
    """The arrays that runs share, brought to the device; arguments as of `train`."""
    beside, holdout = beside or Beside(), None
    if spec.stops_after is not None:
        assert beside.holdout is not None, "a recipe that stops early has a holdout"
        holdout = Holdout(*(_tensor(array).to(device) for array in beside.holdout))
    statistics = architecture(network, image_size=images.shape[1], outputs=outputs).statistics
    return TrainingSet(
        images=_tensor(images).to(device),
        labels=_tensor(labels).to(device),
        preprocessing=fitted(statistics, images).to(device),
        network=network,
        outputs=outputs,
        spec=spec,
        precision=choose_precision(spec.precision, device),
        known_images=known_images,
        flipped=None if beside.flipped is None else _tensor(beside.flipped).to(device),
        pretrained=beside.pretrained,
        holdout=holdout,
        class_weights=class_weights(outputs, noise_weight, device),
        records=records,
    )


def class_weights(
    outputs: int, noise_weight: float, device: torch.device | None = None
) -> Float32[Tensor, " outputs"] | None:
    """1 for each known class and `noise_weight` for the last output; None where that is 1, too."""
    if noise_weight == 1:
        return None
    weights = torch.ones(outputs, device=device)
    weights[-1] = noise_weight
    return weights


def _tensor(array: np.ndarray) -> Tensor:
    # A read-only memory map is copied: PyTorch has no read-only tensors.
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def fresh_state(data: TrainingSet, seed: int) -> TrainingState:
    """A run before its first batch. The seed decides its weights and the order of its images, on any device."""
    generator = torch.Generator().manual_seed(seed)
    std = data.spec.initial_std
    shown = None if data.pretrained else data.preprocessing.to("cpu")(data.sample.cpu())
    start = Start(shown=shown, pretrained=data.pretrained)
    module = fresh_network(
        data.network,
        image_size=data.image_size,
        outputs=data.outputs,
        generator=generator,
        start=start if std is None else replace(start, first_layer_std=std),
    )
    return state_of(data, seed, module.to(data.device).to(memory_format=torch.channels_last).train(), generator)


def state_of(data: TrainingSet, seed: int, module: TrainableNetwork, generator: torch.Generator) -> TrainingState:
    """A network that is about to be trained on these images, whose order `generator` draws."""
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    batches = Batches(
        len(data.images), data.spec.batch_size, generator, data.device, data.spec.augmentation, data.image_size
    )
    average = copy.deepcopy(module).eval() if data.spec.average_decay is not None else None
    best = copy.deepcopy(module).eval() if data.holdout is not None else None
    shifts = {one.bias for one in module.modules() if isinstance(one, nn.BatchNorm2d)}
    shares = {
        one: data.spec.rate_share(module.depth_of(name)) * (data.spec.share_of_shifts if one in shifts else 1.0)
        for name, one in trained.items()
    }
    optimizer = make_optimizer([(one, one) for one in trained.values()], data.spec, shares)
    record = SampleRecord.empty(len(data.images), data.outputs, data.device) if data.records else None
    return TrainingState(seed, data.precision, module, optimizer, batches, average, best, record)


def release(module: nn.Module, *, head_alone: bool) -> None:
    """Have the next steps update all that is trained of a network of ours, or its head alone."""
    assert isinstance(module, TrainableNetwork)
    for name, parameter in module.named_parameters():
        if module.depth_of(name) > 0:
            parameter.requires_grad_(not head_alone)
