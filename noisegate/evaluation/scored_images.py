"""The scored training set: what a trained network says of every training image, as an artefact's bytes."""

from collections.abc import Callable

import numpy as np
import safetensors.numpy
import safetensors.torch
from jaxtyping import Int64
from torch import nn

from noisegate.learning.prediction import predict
from noisegate.learning.subgroups import ScoredImages
from noisegate.manifest import ModelManifest
from noisegate.networks.building import architecture
from noisegate.networks.preprocessing import Inputs, Preprocessing
from noisegate.rejection.scores import softmax

_NETWORK = "network."


def score_images(
    module: nn.Module,
    preprocessing: Preprocessing,
    inputs: Inputs,
    labels: Int64[np.ndarray, " n"],
    device: str = "cpu",
    between_batches: Callable[[], None] = lambda: None,
) -> ScoredImages:
    """Score every image, or its features, with a trained network; probabilities over all of its outputs.

    Raises:
        FloatingPointError: a logit is not finite.
    """
    logits, _ = predict(module, preprocessing, inputs, device, between_batches=between_batches)
    if not np.isfinite(logits).all():
        raise FloatingPointError("the base execution's logits are not finite on the training images")
    probabilities = softmax(logits)
    return ScoredImages(
        labels=np.array(labels, dtype=np.int64),
        predictions=probabilities.argmax(axis=1),
        largest=probabilities.max(axis=1),
        of_true_class=probabilities[np.arange(len(labels)), labels],
    )


def score_with_weights(
    stored: bytes,
    manifest: ModelManifest,
    inputs: Inputs,
    labels: Int64[np.ndarray, " n"],
    device: str = "cpu",
) -> ScoredImages:
    """The same with a kept model: `stored` is its model.safetensors."""
    module, preprocessing = load_network(stored, manifest, inputs.shape[1])
    return score_images(module, preprocessing, inputs, labels, device)


def load_network(stored: bytes, manifest: ModelManifest, image_size: int) -> tuple[nn.Module, Preprocessing]:
    """A kept model as it was trained, in evaluation mode, and what it is shown images by.

    Args:
        stored: its model.safetensors.
        image_size: pixels a side of what it takes; of features, their number.
    """
    tensors = safetensors.torch.load(stored)
    network = manifest.spec.trained_network
    assert network is not None, "what scores images was trained to classify them"
    module = architecture(network, image_size=image_size, outputs=len(manifest.outputs))
    weights = {name.removeprefix(_NETWORK): tensor for name, tensor in tensors.items() if name.startswith(_NETWORK)}
    module.load_state_dict(weights, assign=True)
    return module.eval(), Preprocessing(tensors["mean"], tensors.get("std"))


def scores_to_bytes(scored: ScoredImages) -> bytes:
    """As safetensors, one array a field; the same scores give the same bytes."""
    data: bytes = safetensors.numpy.save(vars(scored))
    return data


def scores_from_bytes(data: bytes) -> ScoredImages:
    """What `scores_to_bytes` wrote."""
    return ScoredImages(**safetensors.numpy.load(data))
