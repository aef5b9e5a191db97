"""A trained network as the files of a model: safetensors, manifest and ONNX, checked against each other."""

import functools
import platform
from dataclasses import asdict, dataclass

import numpy as np
import onnx
import onnxruntime
import scipy
import torch
from jaxtyping import Float, Float32, UInt8
from safetensors.torch import save
from torch import Tensor, nn

from noisegate import __version__
from noisegate.learning.cells import PreparedCell
from noisegate.learning.encoding import Encoder
from noisegate.learning.graphs import FEATURES, LOGITS, joined, trace, with_head
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.learning.training import Trained
from noisegate.manifest import ModelManifest
from noisegate.networks.building import Start, fresh_network
from noisegate.networks.preprocessing import Preprocessing, Statistics
from noisegate.rejection.reference import Reference
from noisegate.spec.networks import named

# Largest |logit| difference allowed, in units of the largest |logit|. float32 sums in another order give about 1e-6.
_RELATIVE_TOLERANCE = 1e-4
_CHECKED_IMAGES = 32
_OUTPUTS = [LOGITS, FEATURES]


class ExportMismatch(Exception):
    """ONNX Runtime does not answer as PyTorch does; the model must not be served."""


@dataclass(frozen=True)
class ModelFiles:
    """What a model is stored as.

    `weights` is safetensors: `network.*`, and what is subtracted from an image and what the rest is divided by as `mean`
    and `std` (HWC or C, in units of 0 … 255; the paper's network has no `std`). Of a layer on top of a backbone, `mean` and
    `std` are of features, and the backbone is `backbone.*`, `backbone_mean` and `backbone_std`; of a backbone's later layers,
    `mean` is 0, and `backbone.*` holds its early ones. What features of `layers: several` are is in docs/networks.md.

    `onnx` takes uint8 `images` [batch, size, size, 3] and gives float32 `logits` [batch, outputs] and `features`
    [batch, width], preprocessing included. `reference` is None without a holdout or cross-validation.
    """

    weights: bytes
    manifest: ModelManifest
    onnx: bytes
    reference: bytes | None = None


class Served(nn.Module):
    """A network with its preprocessing: bytes of an image in, or its activations; logits and features out."""

    mean: Tensor
    std: Tensor | None

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", preprocessing.mean)
        self.register_buffer("std", preprocessing.std)

    def forward(
        self, images: UInt8[Tensor, "batch size size 3"] | Float32[Tensor, "batch side side channels"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch width"]]:
        # As `Preprocessing` does it, without its operations in place, which a graph has no use for.
        centred = images.to(torch.float32) - self.mean
        scaled = centred if self.std is None else centred / self.std
        answer: tuple[Tensor, Tensor] = self.network(scaled.permute(0, 3, 1, 2))
        return answer


def export_model(
    cell: PreparedCell, outcome: ExecutionOutcome, *, execution: int, reference: Reference | None = None
) -> ModelFiles:
    """The files of one execution's model.

    Args:
        execution: the execution's index within its cell.
        reference: what `make_reference` made of it.

    Raises:
        ExportMismatch: ONNX Runtime's logits differ from PyTorch's by more than 1e-4 of the largest.
    """
    trained = outcome.trained
    served = Served(trained.module, trained.preprocessing)
    graph = _graph_of(cell, served) if cell.encoder is None else _graph_on(cell, cell.encoder, served)
    tensors = served.state_dict() | (_untrained(cell.encoder, served) if cell.encoder else {})
    return ModelFiles(
        weights=save({name: tensor.contiguous() for name, tensor in tensors.items()}),
        manifest=_manifest(cell, outcome, execution, largest_difference(graph, trained, _checked_images(cell))),
        onnx=graph,
        reference=reference.to_bytes() if reference else None,
    )


def largest_difference(graph: bytes, trained: Trained, images: UInt8[np.ndarray, "n size size 3"]) -> float:
    """The largest |logit| difference between ONNX Runtime and PyTorch over `images`.

    Raises:
        ExportMismatch: as `difference_from`.
    """
    logits, _ = answer(trained, images)
    return difference_from(graph, images, logits)


def difference_from(
    graph: bytes, images: UInt8[np.ndarray, "n size size 3"], logits: Float32[np.ndarray, "n outputs"]
) -> float:
    """The largest |difference| between the logits that ONNX Runtime gives for `images` and PyTorch's `logits`.

    Raises:
        ExportMismatch: it is more than 1e-4 of the largest |logit| (or than 1e-4, where all logits are below 1).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (served,) = session.run(["logits"], {"images": images})
    difference = float(np.abs(served - logits).max())
    allowed = _RELATIVE_TOLERANCE * max(1.0, float(np.abs(logits).max()))
    if not difference <= allowed:  # written so that NaN fails
        raise ExportMismatch(
            f"logits differ by {difference:.3g} between ONNX Runtime and PyTorch; {allowed:.3g} allowed"
        )
    return difference


def random_images(count: int, image_size: int) -> UInt8[np.ndarray, "count size size 3"]:
    """Images to compare on: the same ones each time, 0 … 255."""
    return np.random.default_rng(0).integers(0, 256, (count, image_size, image_size, 3), dtype=np.uint8)


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "noisegate": __version__,
    }


def _graph_of(cell: PreparedCell, served: Served) -> bytes:
    """The ONNX graph of a trained network: the architecture's, filled with these weights, where its weights keep their names."""
    spec = cell.spec
    # The exporter folds batch norms, whose statistics are buffers, into the weights of convolutions.
    if any(True for _ in served.network.buffers()):
        return trace(served, spec.image_size, _OUTPUTS)
    statistics = "mean_image" if served.std is None else "channels"
    template = _template(spec.trained_network, spec.image_size, cell.outputs, statistics)
    filled = _with_weights(template, served.state_dict())
    return trace(served, spec.image_size, _OUTPUTS) if filled is None else filled


def _untrained(encoder: Encoder, served: Served) -> dict[str, Tensor]:
    """What the encoder's file holds, but for layers that were trained further."""
    tuned = {name.replace("network.layers.", "backbone.", 1) for name in served.state_dict()}
    return {name: tensor for name, tensor in encoder.tensors.items() if name not in tuned}


def _graph_on(cell: PreparedCell, encoder: Encoder, served: Served) -> bytes:
    """The backbone's graph with what was trained on top. A layer takes features as they are: scaling is made part of it."""
    if cell.spec.training.tunes_backbone:
        return joined(encoder.graph, served, cell.inputs.shape[1:])
    weight, bias = (served.network.state_dict()[f"head.{name}"].double() for name in ("weight", "bias"))
    assert served.std is not None, "features are scaled"
    scaled = weight / served.std.double()
    return with_head(encoder.graph, scaled.float(), (bias - scaled @ served.mean.double()).float())


@functools.lru_cache(maxsize=16)
def _template(network: str, image_size: int, outputs: int, statistics: Statistics) -> bytes:
    """An architecture as ONNX, with made-up weights: tracing takes seconds, so a process does it once for each.

    The weights are all different on purpose: the exporter merges tensors that are equal, as fresh biases would be.
    """
    generator = torch.Generator().manual_seed(0)
    module = fresh_network(network, image_size=image_size, outputs=outputs, generator=generator, start=Start())
    with torch.no_grad():
        for tensor in (tensor for tensor in module.state_dict().values() if tensor.is_floating_point()):
            tensor.uniform_(0.5, 1.5, generator=generator)  # above 0, as variances are
    colour = torch.rand(3, generator=generator) + 1
    mean = torch.randn(image_size, image_size, 3, generator=generator)
    preprocessing = Preprocessing(mean) if statistics == "mean_image" else Preprocessing(colour.flip(0) * 2, colour)
    return trace(Served(module, preprocessing), image_size, _OUTPUTS)


def _with_weights(graph: bytes, tensors: dict[str, Tensor]) -> bytes | None:
    """The same graph with other weights, by name; None if the exporter has folded one of them into others."""
    model = onnx.ModelProto.FromString(graph)
    places = {initializer.name: initializer for initializer in model.graph.initializer}
    for name, tensor in tensors.items():
        if name not in places or tuple(places[name].dims) != tuple(tensor.shape):
            return None
        places[name].CopyFrom(onnx.numpy_helper.from_array(tensor.numpy(), name))
    filled: bytes = model.SerializeToString()
    return filled


def _checked_images(cell: PreparedCell) -> UInt8[np.ndarray, "n size size 3"]:
    real = np.asarray(cell.test_images[:_CHECKED_IMAGES])
    return np.concatenate([real, random_images(_CHECKED_IMAGES, cell.spec.image_size)])


def _manifest(cell: PreparedCell, outcome: ExecutionOutcome, execution: int, difference: float) -> ModelManifest:
    return ModelManifest(
        network=named(cell.spec.network),
        image_size=cell.spec.image_size,
        **asdict(cell.spec.fitting),
        classes=list(cell.classes),
        has_noise_class=cell.spec.has_noise_class,
        calibration=outcome.calibration,
        holdout_accuracy=outcome.holdout_accuracy,
        metrics=outcome.metrics,
        dataset_hash=cell.dataset_hash,
        spec=cell.spec,
        cell=cell.cell,
        execution=execution,
        seed=outcome.trained.seed,
        precision=outcome.trained.precision,
        device=outcome.trained.device,
        source=cell.encoder.source if cell.encoder else None,
        versions=versions(),
        onnx_largest_difference=difference,
        regularisation=cell.regularisation,
    )
