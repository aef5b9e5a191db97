"""Images to features by a backbone: one graph, run by ONNX Runtime, which is also what serves.

On a CPU it is several times as fast as PyTorch's own layers, and what is trained on is to the bit what is served.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import onnxruntime
import safetensors.torch
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from noisegate.documents import Source
from noisegate.learning.graphs import ACTIVATIONS, FEATURES, trace
from noisegate.networks.backbones.cutting import early_part, late_part, middle_part, stages_beside
from noisegate.networks.preprocessing import Preprocessing
from noisegate.networks.pretrained import LoadedBackbone
from noisegate.spec.derived import Layers

# Images at a time: more bring no speed.
_BATCH = 16
_LENGTH_BYTES = 8
# Of an image that excites nothing.
_LEAST_LENGTH = 1e-6
_LAYERS = "backbone."

Images = UInt8[np.ndarray, "n size size 3"]
Features = Float32[np.ndarray, "n ..."]


@dataclass(frozen=True)
class Encoder:
    """A backbone at one size of images, ready to compute features: bytes of images in, float32 out. One thread.

    Attributes:
        graph: an ONNX model: uint8 `images` [batch, size, size, 3] to float32 `features` [batch, width], or of a backbone's early
            layers `activations` [batch, side, side, channels].
        weights: safetensors: `backbone.*`, and `backbone_mean` and `backbone_std` (in levels of 0 … 255, of each channel).
    """

    graph: bytes = field(repr=False)
    weights: bytes = field(repr=False)

    def __call__(self, images: Images, between_batches: Callable[[], None] = lambda: None) -> Features:
        """The features of images of its size, which may be a memory map."""
        parts = []
        for start in range(0, len(images), _BATCH):
            between_batches()
            shown = np.ascontiguousarray(images[start : start + _BATCH])
            parts += self._session.run(None, {"images": shown})
        features: Features = np.concatenate(parts)
        return features

    def mirrored(self, images: Images, between_batches: Callable[[], None] = lambda: None) -> Features:
        """The features of the same images left to right, which are not the features left to right."""
        return self(images[:, :, ::-1], between_batches)

    @property
    def bytes_an_image(self) -> int:
        """Of what it computes of one image."""
        _, *shape = self._session.get_outputs()[0].shape
        values: int = math.prod(shape)
        return 4 * values

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What `weights` holds."""
        tensors: dict[str, Tensor] = safetensors.torch.load(self.weights)
        return tensors

    @property
    def layers(self) -> dict[str, Tensor]:
        """The backbone's weights by timm's names, of layers that the graph leaves out, too."""
        return {name.removeprefix(_LAYERS): one for name, one in self.tensors.items() if name.startswith(_LAYERS)}

    @property
    def source(self) -> Source:
        """The file that the weights come from."""
        length = int.from_bytes(self.weights[:_LENGTH_BYTES], "little")
        header = json.loads(self.weights[_LENGTH_BYTES : _LENGTH_BYTES + length])
        return Source.model_validate_json(header["__metadata__"]["source"])

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(self.graph, options, providers=["CPUExecutionProvider"])


def make_encoder(loaded: LoadedBackbone, image_size: int, upto: str | None = None, layers: Layers = "last") -> Encoder:
    """The encoder of a backbone for square images of `image_size` pixels a side.

    Args:
        upto: the last of its stages that computes; None for all of them. The weights are those of all of them either way.
        layers: several: features of two earlier stages beside those at the end; without `upto`.
    """
    tensors = {_LAYERS + name: tensor.contiguous() for name, tensor in loaded.network.state_dict().items()}
    tensors |= {f"backbone_{name}": tensor for name, tensor in loaded.preprocessing.tensors.items()}
    weights = safetensors.torch.save(tensors, metadata={"source": loaded.source.model_dump_json()})
    network = loaded.network if upto is None else early_part(loaded.network, upto)
    network = _SeveralLayers(loaded.network) if layers == "several" else network
    shown = _Shown(network, loaded.preprocessing)
    return Encoder(trace(shown, image_size, [FEATURES if upto is None else ACTIVATIONS]), weights)


class _Shown(nn.Module):
    """A backbone, or its early part, with its preprocessing."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", preprocessing.mean)
        self.register_buffer("std", preprocessing.std)

    def forward(self, images: UInt8[Tensor, "batch size size 3"]) -> Float32[Tensor, "batch ..."]:
        shown = (images.to(torch.float32) - self.mean) / self.std
        features: Tensor = self.network(shown.permute(0, 3, 1, 2))
        return features if features.ndim == 2 else features.permute(0, 2, 3, 1)


class _SeveralLayers(nn.Module):
    """The activations of two earlier stages, averaged over the image, and the features at the end, side by side.

    Of each the square roots with their signs, at length 1 (power normalisation; Perronnin, Sánchez and Mensink 2010): else the one
    with the largest numbers would count alone, and in each the few channels that an image excites most.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        first, second = stages_beside(network)
        self.parts = nn.ModuleList(
            [early_part(network, first), middle_part(network, first, second), late_part(network, second)]
        )

    def forward(self, shown: Float32[Tensor, "batch 3 size size"]) -> Float32[Tensor, "batch width"]:
        found = []
        for part in self.parts:
            shown = part(shown)
            found.append(_evened(shown.mean(dim=(2, 3)) if shown.ndim == 4 else shown))
        return torch.cat(found, dim=1)


def _evened(values: Float32[Tensor, "batch width"]) -> Float32[Tensor, "batch width"]:
    rooted = values.sign() * values.abs().sqrt()
    # Not by `norm`: ONNX Runtime's quantiser does not know the shape of what ReduceL2 gives.
    lengths = (rooted * rooted).sum(dim=1, keepdim=True).sqrt()
    return rooted / lengths.clamp_min(_LEAST_LENGTH)
