"""What trained networks answer: in float32, on any device, many networks in one pass over the images."""

import copy
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from noisegate.learning.recipe import exact_arithmetic
from noisegate.learning.training import Trained
from noisegate.networks.preprocessing import Inputs, Preprocessing

_BATCH_PIXELS = 500 * 32**2


def answer(
    trained: Trained,
    inputs: Inputs,
    device: str = "cpu",
    batch_pixels: int = _BATCH_PIXELS,
    between_batches: Callable[[], None] = lambda: None,
) -> tuple[Float32[np.ndarray, "n outputs"], Float32[np.ndarray, "n width"]]:
    """Logits and features by a trained network; where it was trained on features, it takes images as well."""
    if trained.encoder is not None and inputs.dtype == np.uint8:
        inputs = trained.encoder(inputs, between_batches)
    return predict(trained.module, trained.preprocessing, inputs, device, batch_pixels, between_batches)


def predict(
    module: nn.Module,
    preprocessing: Preprocessing,
    images: Inputs,
    device: str = "cpu",
    batch_pixels: int = _BATCH_PIXELS,
    between_batches: Callable[[], None] = lambda: None,
) -> tuple[Float32[np.ndarray, "n outputs"], Float32[np.ndarray, "n width"]]:
    """Logits and features of `images` (0 … 255, or features), in float32, in batches of `batch_pixels` pixels. `module` stays."""
    (predicted,) = predict_each([module], preprocessing, images, device, batch_pixels, between_batches)
    return predicted


@torch.inference_mode()
def predict_each(
    modules: Sequence[nn.Module],
    preprocessing: Preprocessing,
    images: Inputs,
    device: str = "cpu",
    batch_pixels: int = _BATCH_PIXELS,
    between_batches: Callable[[], None] = lambda: None,
) -> list[tuple[Float32[np.ndarray, "n outputs"], Float32[np.ndarray, "n width"]]]:
    """The same of several networks that share their preprocessing: images are brought to the device and prepared once for all.

    Where a backbone's features are the inputs, they are answered as they are: so does the served graph, in which scaling is part
    of the layer. Each answers as it would alone, bit for bit. On a GPU answers stay there until all are given.
    """
    assert len(images) > 0
    there = [_ready(module, device) for module in modules]
    preprocessing_there = preprocessing.to(device)
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in modules]
    batch_size = max(1, 3 * batch_pixels // math.prod(images.shape[1:]))
    with exact_arithmetic():
        for start in range(0, len(images), batch_size):
            between_batches()
            batch = torch.tensor(np.asarray(images[start : start + batch_size]), device=device)
            shown = preprocessing_there.shown(batch)
            for module, answers in zip(there, parts, strict=True):
                logits, features = module(shown)
                answers.append((logits, batch if batch.ndim == 2 else features))
    return [(_joined(logits), _joined(features)) for logits, features in (zip(*one, strict=True) for one in parts)]


def _ready(module: nn.Module, device: str) -> nn.Module:
    """The module on the device, in evaluation mode; a copy unless it is there and so already."""
    if device == "cpu" and not module.training and all(one.device.type == "cpu" for one in module.parameters()):
        return module
    return copy.deepcopy(module).to(device).eval()


def _joined(parts: Sequence[Tensor]) -> Float32[np.ndarray, "n _"]:
    joined: Float32[np.ndarray, "n _"] = torch.cat(list(parts)).cpu().numpy()
    return joined
