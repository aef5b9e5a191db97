"""What is served and what is sent: scans of 32 pixels to a network of ours, or photographs to a layer on the embedded backbone.

A photograph is 640 × 480 pixels with detail in each of them: thumbnails of 128 pixels side by side, all of one class, and none of
them trained on. What is sent is the same each time.
"""

import io
import tarfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

from noisegate.client import Noisegate

COUNT = 64
SIDE = 32
PHOTOGRAPH = (640, 480)
_THUMBNAIL = 128
_TRAINED_ON = 20


@dataclass(frozen=True)
class Targets:
    """What is to be reached.

    Attributes:
        ratios: how many times what another answers, by the other's name.
        of_best: the same, of the best of several others.
        below: bounds of Noisegate's own figures, by their names.
        by_processor_time: whether ratios are those of answers in a second of processor time: where an answer takes milliseconds of
            it, other work on the machine would decide otherwise.
    """

    ratios: Mapping[str, float]
    below: Mapping[str, float]
    of_best: Mapping[tuple[str, ...], float] = field(default_factory=dict)
    by_processor_time: bool = False


@dataclass(frozen=True)
class Subject:
    """A model, and the images that it is asked about.

    Attributes:
        kept: name of the file of results.
        sent: what is sent, in words.
        document: given a client and a folder of its own, uploads what is needed and returns the experiment to post.
        images: makes what is sent, `COUNT` of them.
        on_backbone: whether the model is a layer on a backbone.
    """

    kept: str
    sent: str
    document: Callable[[Noisegate, Path], dict[str, Any]]
    images: Callable[[], list[Image.Image]]
    targets: Targets
    on_backbone: bool = False


def scans() -> Subject:
    """Scans of digits and smooth fields of colour, to what the preset `recommended` makes of the digits."""
    ratios = {"plain": 3.0, "litserve": 2.5, "bare": 0.9, "bound, Pillow": 0.55, "bound": 0.55}
    document = {"preset": "recommended", "scale": "smoke", "name": "a model to serve"}
    targets = Targets(ratios, below={"p99_ms": 25, "rss_mib": 300})
    return Subject("classify", "JPEG of 32 × 32", lambda *_: document, _scans, targets)


def photographs(archive: Path) -> Subject:
    """Photographs, to `tf_efficientnet_lite0` with a layer trained on 20 thumbnails of each class.

    Args:
        archive: tar of <class>/<file>, images of 128 × 128 pixels.
    """
    by_class = _by_class(archive)
    peers = ("plain", "litserve, PyTorch", "bentoml, PyTorch")
    below = {"peak_rss_mib": 500, "onnx_mb": 20}
    targets = Targets({"bound": 0.85}, below, of_best={peers: 2.0}, by_processor_time=True)

    def document(client: Noisegate, folder: Path) -> dict[str, Any]:
        upload = folder / "thumbnails.tar"
        _write_tar(upload, {name: files[:_TRAINED_ON] for name, files in by_class.items()})
        dataset = client.datasets.wait(client.datasets.upload(upload, name="thumbnails")["id"])
        noise = {"family": "structured", "quantity": 1}
        return {"dataset": dataset["id"], "network": {"backbone": "tf_efficientnet_lite0"}, "noise": noise}

    untrained = [files[_TRAINED_ON:] for files in by_class.values()]
    return Subject("classify_photographs", "JPEG of 640 × 480", document, lambda: _mosaics(untrained), targets, True)


def _scans() -> list[Image.Image]:
    """In turn: what the model knows, and what it does not."""
    generator = np.random.default_rng(0)
    scans = np.rint(load_digits().images[: COUNT // 2] * (255 / 16)).astype(np.uint8)
    fields = generator.integers(0, 256, (COUNT // 2, 5, 5, 3), dtype=np.uint8)
    pairs = zip(scans, fields, strict=True)
    return [_enlarged(pixels) for pair in pairs for pixels in pair]


def _enlarged(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB")


def _mosaics(by_class: Sequence[Sequence[bytes]]) -> list[Image.Image]:
    """One class after another."""
    width, height = PHOTOGRAPH
    places = [(left, top) for top in range(0, height, _THUMBNAIL) for left in range(0, width, _THUMBNAIL)]
    found = []
    for number in range(COUNT):
        files = by_class[number % len(by_class)]
        mosaic = Image.new("RGB", PHOTOGRAPH)
        for step, place in enumerate(places, number // len(by_class) * len(places)):
            mosaic.paste(Image.open(io.BytesIO(files[step % len(files)])), place)
        found.append(mosaic)
    return found


def _by_class(archive: Path) -> dict[str, list[bytes]]:
    found: defaultdict[str, list[bytes]] = defaultdict(list)
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isfile() and (content := opened.extractfile(member)):
                found[PurePosixPath(member.name).parts[0]].append(content.read())
    return dict(found)


def _write_tar(path: Path, by_class: Mapping[str, Sequence[bytes]]) -> None:
    with tarfile.open(path, "w") as written:
        for name, files in by_class.items():
            for number, data in enumerate(files):
                member = tarfile.TarInfo(f"{name}/{number:03}.jpg")
                member.size = len(data)
                written.addfile(member, io.BytesIO(data))
