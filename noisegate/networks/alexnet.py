"""torchvision's AlexNet with its ImageNet weights: the network, and the file it comes in.

Loading torchvision takes seconds and 100 MB, so this module is imported by name, once a person has asked for it.

Two things happen here that happen nowhere else in this package, and only when a person has asked for this network by
name: one file is fetched, from the URL that torchvision names, and it is in PyTorch's own format, a pickle. It is opened
after its SHA-256 was compared with the one below, and then by the restricted unpickler (`weights_only`), which makes
tensors and runs nothing.
"""

import hashlib
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251  # nosec B403
from tempfile import TemporaryDirectory
from urllib.request import urlopen  # noqa: TID251

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, hub
from torchvision.models import AlexNet, AlexNet_Weights

from noisegate.disk import is_full
from noisegate.documents import Source
from noisegate.errors import SourceUnavailable, StorageFull
from noisegate.networks.pretrained import Pretrained

# Of the file at OFFICIAL.url, whose name holds no more than its first eight digits.
OFFICIAL_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
OFFICIAL = AlexNet_Weights.IMAGENET1K_V1

# How long the server may be silent, and how long the 244 MB may take in all.
_SILENCE_SECONDS = 30.0
_DOWNLOAD_SECONDS = 3600.0
_CHUNK_BYTES = 2**20


class AlexNetWithFeatures(AlexNet):  # type: ignore[misc]  # torchvision has no types
    """torchvision's AlexNet, weights by the same names, that answers as our networks do."""

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch 4096"]]:
        """Logits, and the 4096 features (after the last ReLU) that they are a linear function of."""
        features = self.classifier[:-1](self.avgpool(self.features(images)).flatten(1))
        return self.classifier[-1](features), features


def load(weights_file: Path | None = None, between_chunks: Callable[[], None] = lambda: None) -> Pretrained:
    """AlexNet as torchvision gives it, with the 1000 classes of ImageNet.

    Args:
        weights_file: a state dict in PyTorch's format, read with the restricted unpickler whatever its hash; null for the
            official weights. Those are looked for where torchvision keeps them ($TORCH_HOME/hub/checkpoints, by default
            below ~/.cache/torch), and fetched into it (244 MB) if they are not there.
        between_chunks: called at least once a MiB while they are fetched. Whatever it raises stops that and passes through.

    Raises:
        SourceUnavailable: the weights cannot be had within an hour, or the file is another one.
        StorageFull: no room for them.
    """
    file = weights_file or _official_file(between_chunks)
    preset = OFFICIAL.transforms()
    return Pretrained(
        network=_network(file),
        classes=tuple(OFFICIAL.meta["categories"]),
        image_size=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        source=Source(name=weights_file.name if weights_file else OFFICIAL.url, sha256=_sha256(file)),
        torchvision=torchvision.__version__,
    )


def _network(file: Path) -> AlexNetWithFeatures:
    # Built without storage: the file's tensors become the network's own, and no second copy is made.
    with torch.device("meta"):
        network = AlexNetWithFeatures()
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True), assign=True)  # noqa: TID251
    except (OSError, EOFError, UnpicklingError, RuntimeError, TypeError) as error:
        # PyTorch's own words go on to say how to open it all the same.
        reason = type(error).__name__
        raise _unavailable(f"{file.name} does not hold the weights of torchvision's AlexNet ({reason})") from error
    network.eval()
    return network


def _official_file(between_chunks: Callable[[], None]) -> Path:
    place = Path(hub.get_dir(), "checkpoints", OFFICIAL.url.rpartition("/")[2])
    try:
        if not place.exists():
            _fetch(OFFICIAL.url, place, between_chunks)
        _check(place)
    except (OSError, HTTPException) as error:
        if is_full(error):
            raise StorageFull("no room for AlexNet's weights", remedy="Make room for 244 MB in $TORCH_HOME.") from error
        # Of an error with a number only the words, as the rest would name a path on this machine.
        reason = getattr(error, "strerror", None) or error
        raise _unavailable(f"AlexNet's weights could not be fetched from {OFFICIAL.url}: {reason}") from error
    return place


def _fetch(url: str, place: Path, between_chunks: Callable[[], None]) -> None:
    """Fetch a file; it is at its place whole or not at all. torch.hub's own function knows no timeout and no end."""
    deadline = time.monotonic() + _DOWNLOAD_SECONDS
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place.parent) as folder:
        partial = Path(folder, place.name)
        # The URL is torchvision's constant.
        with urlopen(url, timeout=_SILENCE_SECONDS) as answer, partial.open("wb") as file:  # noqa: S310  # nosec B310
            while chunk := answer.read1(_CHUNK_BYTES):
                between_chunks()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not here after {_DOWNLOAD_SECONDS:g} s")
                file.write(chunk)
        _check(partial)
        partial.replace(place)


def _check(file: Path) -> None:
    if (found := _sha256(file)) != OFFICIAL_SHA256:
        raise _unavailable(f"{file.name} has the SHA-256 {found}; torchvision's has {OFFICIAL_SHA256}")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _unavailable(detail: str) -> SourceUnavailable:
    remedy = (
        f"On a machine without the internet, put {OFFICIAL.url} into $TORCH_HOME/hub/checkpoints of each worker "
        "(TORCH_HOME is ~/.cache/torch unless it is set); remove another file of that name. Then ask again."
    )
    return SourceUnavailable(detail, field="network", remedy=remedy)
