"""Features of the copy of CIFAR-10 by the embedded backbone, of a view at a larger size: computed once, kept as .npz."""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.learning.cells import CellData, CellFeatures
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.networks.backbones import EMBEDDED, backbone_of
from noisegate.networks.backbones.loading import load

# Images at one size that are in memory together.
_PIECE = 512
_SIZE = 32


class Kept(NamedTuple):
    """Features of all images, and the files that they are of: <part>/<class>/<file>."""

    features: Float32[np.ndarray, "n width"]
    files: list[PurePosixPath]


def kept_features(archive: Path, kept: Path, image_size: int) -> Kept:
    """Those in `kept`, which is written first if it is not there: 4 minutes of a core at 128 pixels a side, 12 at 224."""
    if not kept.exists():
        files, features = _compute(archive, image_size)
        np.savez(kept, files=np.array(files), features=features)
    with np.load(kept, allow_pickle=False) as arrays:  # noqa: TID251
        return Kept(arrays["features"], [PurePosixPath(file) for file in arrays["files"]])


def cifar10_features(archive: Path, kept: Path, image_size: int, train: int | None = None) -> CellData:
    """The copy of CIFAR-10, or as many of its training images, as features; there are no pixels beside them.

    Args:
        archive: tar of train/<class>/<file> and test/<class>/<file>.
        kept: as of `kept_features`.
    """
    features, paths = kept_features(archive, kept, image_size)
    files = [path.parts for path in paths]
    classes = sorted({name for _, name, _ in files})
    labels = np.array([classes.index(name) for _, name, _ in files])
    places = {part: np.flatnonzero([of == part for of, _, _ in files]) for part in ("train", "test")}
    places["train"] = np.random.default_rng(0).permutation(places["train"])[:train]
    blank = np.zeros((1, _SIZE, _SIZE, 3), np.uint8)
    pixels = {part: np.broadcast_to(blank, (len(own), *blank.shape[1:])) for part, own in places.items()}
    # Nothing is drawn here, so no image is looked at.
    in_parts = CellFeatures(features[places["train"]], features[places["test"]], Encoder(b"", b""))
    return CellData(
        tuple(classes),
        pixels["train"],
        labels[places["train"]],
        pixels["test"],
        labels[places["test"]],
        "0" * 64,
        in_parts,
    )


def _compute(archive: Path, image_size: int) -> tuple[list[str], Float32[np.ndarray, "n width"]]:
    backbone = backbone_of(EMBEDDED)
    encoder = make_encoder(load(backbone, None, None), image_size)
    files: list[str] = []
    features = []
    for names, pixels in _pieces(archive, image_size):
        files += names
        features.append(encoder(pixels))
        print(f"features of {len(files):,} images", flush=True)
    return files, np.concatenate(features)


def _pieces(archive: Path, image_size: int) -> Iterator[tuple[list[str], UInt8[np.ndarray, "n size size 3"]]]:
    names: list[str] = []
    pixels: list[np.ndarray] = []
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isfile() and (content := opened.extractfile(member)):
                names.append(member.name)
                pixels.append(decode_image(content.read(), image_size, ImageLimits()))
            if len(names) == _PIECE:
                yield names, np.stack(pixels)
                names, pixels = [], []
    if names:
        yield names, np.stack(pixels)
