"""Images to features by a backbone: one graph, run by ONNX Runtime, which is also what serves.

On a CPU it is several times as fast as PyTorch's own layers, and what is trained on is to the bit what is served.
"""

import json
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
from noisegate.learning.graphs import FEATURES, trace
from noisegate.networks.pretrained import LoadedBackbone

# Images at a time: more bring no speed.
_BATCH = 16
_LENGTH_BYTES = 8

Images = UInt8[np.ndarray, "n size size 3"]
Features = Float32[np.ndarray, "n width"]


@dataclass(frozen=True)
class Encoder:
    """A backbone at one size of images, ready to compute features: bytes of images in, float32 out. One thread.

    Attributes:
        graph: an ONNX model: uint8 `images` [batch, size, size, 3] to float32 `features` [batch, width].
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
            parts += self._session.run([FEATURES], {"images": shown})
        features: Features = np.concatenate(parts)
        return features

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What `weights` holds."""
        tensors: dict[str, Tensor] = safetensors.torch.load(self.weights)
        return tensors

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


def make_encoder(loaded: LoadedBackbone, image_size: int) -> Encoder:
    """The encoder of a backbone for square images of `image_size` pixels a side."""
    tensors = {f"backbone.{name}": tensor.contiguous() for name, tensor in loaded.network.state_dict().items()}
    tensors |= {f"backbone_{name}": tensor for name, tensor in loaded.preprocessing.tensors.items()}
    weights = safetensors.torch.save(tensors, metadata={"source": loaded.source.model_dump_json()})
    return Encoder(trace(_Shown(loaded), image_size, [FEATURES]), weights)


class _Shown(nn.Module):
    """A backbone with its preprocessing."""

    mean: Tensor
    std: Tensor

    def __init__(self, loaded: LoadedBackbone) -> None:
        super().__init__()
        self.network = loaded.network
        self.register_buffer("mean", loaded.preprocessing.mean)
        self.register_buffer("std", loaded.preprocessing.std)

    def forward(self, images: UInt8[Tensor, "batch size size 3"]) -> Float32[Tensor, "batch width"]:
        shown = (images.to(torch.float32) - self.mean) / self.std
        features: Tensor = self.network(shown.permute(0, 3, 1, 2))
        return features
