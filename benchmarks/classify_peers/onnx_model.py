"""The model under test as bare, litserve, bentoml and bound use it; it needs NumPy, Pillow and ONNX Runtime alone.

The folder that CLASSIFY_MODEL names holds model.onnx and model.json.
"""

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image


class OnnxModel:
    """One session of one thread, and the names of its outputs."""

    def __init__(self, folder: Path) -> None:
        manifest = json.loads((folder / "model.json").read_text())
        self.labels: list[str] = manifest["classes"] + (["noise"] if manifest["has_noise_class"] else [])
        self.size = (manifest["image_size"], manifest["image_size"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    @classmethod
    def of_environment(cls) -> "OnnxModel":
        return cls(Path(os.environ["CLASSIFY_MODEL"]))

    def decode(self, data: bytes) -> npt.NDArray[np.uint8]:
        """The pixels of an image file, uint8 [size, size, 3]."""
        return self.pixels(Image.open(BytesIO(data)))

    def pixels(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """The pixels of an opened image, which is only converted or resized if it has to be."""
        if image.mode != "RGB":
            image = image.convert("RGB")
        if image.size != self.size:
            image = image.resize(self.size, Image.Resampling.BILINEAR)
        return np.asarray(image)

    def fitted(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The same of decoded pixels."""
        return pixels if pixels.shape[:2] == self.size else self.pixels(Image.fromarray(pixels))

    def logits(self, batch: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Logits [n, outputs] of pixels [n, size, size, 3]."""
        (logits,) = self.session.run(["logits"], {"images": batch})
        found: npt.NDArray[np.float32] = logits
        return found

    def answers(self, batch: npt.NDArray[np.uint8]) -> list[dict[str, Any]]:
        """The label and every probability, for each image of a batch."""
        logits = self.logits(batch)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        return [
            {"label": self.labels[row.argmax()], "probabilities": dict(zip(self.labels, row.tolist(), strict=True))}
            for row in probabilities
        ]
