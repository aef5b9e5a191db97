"""The paper's network with fresh weights, exported as noisegate.learning exports it."""

from functools import lru_cache

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from noisegate.learning.export import Served
from noisegate.learning.graphs import FEATURES, LOGITS, trace
from noisegate.networks.paper.module import PaperNetwork
from noisegate.networks.preprocessing import Preprocessing

IMAGE_SIZE = 32
CLASSES = [f"class {number}" for number in range(10)]


@lru_cache(maxsize=1)
def paper_onnx() -> bytes:
    """Ten known classes and noise. Takes some seconds: the exporter traces the network."""
    torch.manual_seed(0)
    preprocessing = Preprocessing(torch.full((IMAGE_SIZE, IMAGE_SIZE, 3), 120.0))
    return trace(Served(PaperNetwork(IMAGE_SIZE, len(CLASSES) + 1), preprocessing), IMAGE_SIZE, [LOGITS, FEATURES])


def with_other_weights(graph: bytes, seed: int) -> bytes:
    """The same graph, every weight changed a little, so that its answers are others."""
    generator = np.random.default_rng(seed)
    model = onnx.ModelProto.FromString(graph)
    for initializer in model.graph.initializer:
        values = numpy_helper.to_array(initializer)
        if values.dtype == np.float32:
            changed = values * generator.uniform(0.8, 1.2, values.shape)
            initializer.CopyFrom(numpy_helper.from_array(changed.astype(np.float32), initializer.name))
    return bytes(model.SerializeToString())
