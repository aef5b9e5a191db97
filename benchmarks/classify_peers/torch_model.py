"""The photographs' model as most serve it: timm's backbone in PyTorch with the trained layer on top. As `OnnxModel` to its callers.

The peers' environments have no PyTorch of their own: PEER_TORCH names the folder of packages that has one, which is looked at last.
"""

import json
import os
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

sys.path.append(os.environ["PEER_TORCH"])
import timm
import torch
from safetensors.torch import load_file

_BACKBONE = "backbone."


class TorchModel:
    """One thread, float32, in inference mode."""

    def __init__(self, folder: Path) -> None:
        torch.set_num_threads(1)
        manifest = json.loads((folder / "model.json").read_text())
        self.labels: list[str] = manifest["classes"] + (["noise"] if manifest["has_noise_class"] else [])
        self.size = (manifest["image_size"], manifest["image_size"])
        tensors = load_file(folder / "model.safetensors")
        network = timm.create_model(manifest["spec"]["network"]["backbone"], pretrained=False, num_classes=0)
        kept = {key.removeprefix(_BACKBONE): tensor for key, tensor in tensors.items() if key.startswith(_BACKBONE)}
        network.load_state_dict(kept)
        self.network = network.eval()
        self.levels = tuple(tensors[name].reshape(3, 1, 1) for name in ("backbone_mean", "backbone_std"))
        self.mean, self.std = tensors["mean"], tensors["std"]
        self.layer = tensors["network.head.weight"], tensors["network.head.bias"]

    @classmethod
    def of_environment(cls) -> "TorchModel":
        return cls(Path(os.environ["CLASSIFY_MODEL"]))

    def decode(self, data: bytes) -> npt.NDArray[np.uint8]:
        """The pixels of an image file, uint8 [size, size, 3]."""
        return self.pixels(Image.open(BytesIO(data)))

    def pixels(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """The pixels of an opened image."""
        return np.asarray(image.convert("RGB").resize(self.size, Image.Resampling.BILINEAR))

    @torch.inference_mode()
    def answers(self, batch: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
        """The label and every probability, for each image of a batch."""
        mean, std = self.levels
        shown = (torch.from_numpy(batch.copy()).permute(0, 3, 1, 2).float() - mean) / std
        features = (self.network(shown) - self.mean) / self.std
        probabilities = torch.nn.functional.linear(features, *self.layer).softmax(dim=1)
        return [
            {
                "label": self.labels[int(row.argmax())],
                "probabilities": dict(zip(self.labels, row.tolist(), strict=True)),
            }
            for row in probabilities
        ]
