"""A network that others have trained, made a model of ours: torchvision's AlexNet with its ImageNet weights."""

import torch
from safetensors.torch import save

from noisegate.learning.export import ModelFiles, Served, difference_from, random_images, versions
from noisegate.learning.graphs import FEATURES, LOGITS, trace
from noisegate.manifest import ModelManifest
from noisegate.networks.preprocessing import Preprocessing
from noisegate.networks.pretrained import Pretrained
from noisegate.spec import PretrainedExperiment

_CHECKED_IMAGES = 8


def export_pretrained(
    pretrained: Pretrained, *, spec: PretrainedExperiment, cell: int, execution: int, seed: int
) -> ModelFiles:
    """The files of the model. It was measured on no dataset of ours: metrics, calibration and the like are null.

    For a moment it takes 1 GB more than the network itself, for copies of the weights.

    Raises:
        ExportMismatch: ONNX Runtime's logits differ from PyTorch's by more than 1e-4 of the largest.
    """
    levels = Preprocessing(255 * torch.tensor(pretrained.mean), 255 * torch.tensor(pretrained.std))
    served = Served(pretrained.network, levels)
    graph = trace(served, pretrained.image_size, [LOGITS, FEATURES])
    images = random_images(_CHECKED_IMAGES, pretrained.image_size)
    with torch.inference_mode():
        logits, _ = served(torch.from_numpy(images))
    difference = difference_from(graph, images, logits.numpy())
    return ModelFiles(
        weights=save(served.state_dict()),
        manifest=ModelManifest(
            network=spec.network,
            image_size=pretrained.image_size,
            classes=list(pretrained.classes),
            has_noise_class=False,
            calibration=None,
            holdout_accuracy=None,
            metrics=None,
            dataset_hash=None,
            spec=spec,
            cell=cell,
            execution=execution,
            seed=seed,
            precision=None,
            device=None,
            source=pretrained.source,
            versions=versions() | {"torchvision": pretrained.torchvision},
            onnx_largest_difference=difference,
        ),
        onnx=graph,
    )
