"""FastAPI and PyTorch as a competent newcomer writes them: an uploaded file, torchvision's transforms, the network, a dict.

`async def`, as in the tutorials; with one core it is also faster than `def`, which FastAPI runs in a thread.
"""

import io
import os
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import FastAPI, File, UploadFile
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

from noisegate.manifest import ModelManifest
from noisegate.networks.building import architecture

folder = Path(os.environ["CLASSIFY_MODEL"])
manifest = ModelManifest.model_validate_json((folder / "model.json").read_text())
tensors = load_file(folder / "model.safetensors")
network = architecture(manifest.network, image_size=manifest.image_size, outputs=len(manifest.outputs))
network.load_state_dict(
    {name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")},
    assign=True,
)
network.eval()
# Kept as height, width, channel and in units of 0 … 255.
mean = tensors["mean"].permute(2, 0, 1)

transform = transforms.Compose(
    [
        transforms.Resize((manifest.image_size, manifest.image_size)),
        transforms.PILToTensor(),
        transforms.Lambda(lambda pixels: pixels.float() - mean),
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
