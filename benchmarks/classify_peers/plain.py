"""FastAPI and PyTorch as a competent newcomer writes them: an uploaded file, torchvision's transforms, the network, a dict.

`async def`, as in the tutorials; with one core it is also faster than `def`, which FastAPI runs in a thread.
"""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import timm
import torch
from fastapi import FastAPI, File, UploadFile
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import transforms

from noisegate.manifest import ModelManifest
from noisegate.networks.building import architecture

BACKBONE = "backbone."


class OnBackbone(nn.Module):
    """timm's network, the scaling of its features, and a layer on top; as Noisegate's networks it gives features, too."""

    def __init__(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.backbone = timm.create_model(name, pretrained=False, num_classes=0)
        kept = {key.removeprefix(BACKBONE): tensor for key, tensor in tensors.items() if key.startswith(BACKBONE)}
        self.backbone.load_state_dict(kept)
        self.mean, self.std = tensors["mean"], tensors["std"]
        self.weight, self.bias = tensors["network.head.weight"], tensors["network.head.bias"]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(images)
        return nn.functional.linear((features - self.mean) / self.std, self.weight, self.bias), features


def load() -> tuple[ModelManifest, nn.Module, Tensor, Tensor]:
    """The manifest, the network, and what is subtracted from an image and what it is divided by, channels first."""
    folder = Path(os.environ["CLASSIFY_MODEL"])
    manifest = ModelManifest.model_validate_json((folder / "model.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    if "backbone_mean" in tensors:
        mean, std = (tensors[name].reshape(3, 1, 1) for name in ("backbone_mean", "backbone_std"))
        return manifest, OnBackbone(manifest.network, tensors).eval(), mean, std
    network = architecture(manifest.network, image_size=manifest.image_size, outputs=len(manifest.outputs))
    network.load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")},
        assign=True,
    )
    # Kept as height, width, channel and in units of 0 … 255.
    return manifest, network.eval(), tensors["mean"].permute(2, 0, 1), torch.ones(1)


manifest, network, mean, std = load()
transform = transforms.Compose(
    [
        transforms.Resize((manifest.image_size, manifest.image_size)),
        transforms.PILToTensor(),
        transforms.Lambda(lambda pixels: (pixels.float() - mean) / std),
    ]
)
app = FastAPI()


@app.post("/predict")
async def predict(file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    image = Image.open(io.BytesIO(await file.read())).convert("RGB")
    batch = transform(image).unsqueeze(0)
    with torch.no_grad():
        logits, _ = network(batch)
        probabilities = torch.softmax(logits, dim=1)[0]
    return {
        "label": manifest.outputs[int(probabilities.argmax())],
        "probabilities": dict(zip(manifest.outputs, probabilities.tolist(), strict=True)),
    }
