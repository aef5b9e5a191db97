"""BentoML with the same ONNX model, or the same network in PyTorch, one worker. Runs in BentoML's own environment.

    python -m bentoml serve classify_peers.peer_bentoml:Classify

PEER_BATCH=1 is the raw image as the body. Otherwise adaptive batching, whose APIs take lists: the image is a field `images`.
Its access log is off, as everybody's; its metrics are on, as Noisegate's are.
"""

import os
from typing import Any

import bentoml
import numpy as np
from PIL.Image import Image

from classify_peers.peer_model import PeerModel

BATCH = int(os.environ["PEER_BATCH"])
options: dict[str, Any] = {"workers": 1, "logging": {"access": {"enabled": False}}}

if BATCH == 1:

    @bentoml.service(**options)
    class Classify:
        def __init__(self) -> None:
            self.model = PeerModel.of_environment()

        @bentoml.api
        async def classify(self, image: Image, /) -> dict[str, Any]:
            return self.model.answers(self.model.pixels(image)[np.newaxis])[0]

else:

    @bentoml.service(**options)
    class Classify:
        def __init__(self) -> None:
            self.model = PeerModel.of_environment()

        @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=1000)
        async def classify(self, images: list[Image]) -> list[dict[str, Any]]:
            return self.model.answers(np.stack([self.model.pixels(image) for image in images]))
