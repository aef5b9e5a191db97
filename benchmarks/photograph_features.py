"""Features of an archive's photographs, and of noise, as training sees them: computed once, kept as .npz."""

import tarfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.learning.encoding import make_encoder
from noisegate.networks.backbones import EMBEDDED, backbone_of
from noisegate.networks.backbones.loading import load
from noisegate.noise import StructuredNoise
from noisegate.noise.drawing import noise_chunks

_NOISE_IMAGES = 200


class Photographs(NamedTuple):
    """Features of photographs with their labels, 0 … classes − 1, and of images of structured noise."""

    features: Float32[np.ndarray, "n width"]
    labels: Int64[np.ndarray, " n"]
    noise: Float32[np.ndarray, "noise width"]


def features_of(archive: Path, kept: Path, a_class: int) -> Photographs:
    """Those in `kept`, which is written first if it is not there: some 25 ms of a core for each photograph.

    Args:
        archive: tar of <class>/<file>, one class after another.
        a_class: how many photographs of each class.
    """
    if not kept.exists():
        found = _compute(archive, a_class)
        np.savez(kept, **found._asdict())
    with np.load(kept, allow_pickle=False) as arrays:  # noqa: TID251
        return Photographs(*(arrays[name] for name in Photographs._fields))


def _compute(archive: Path, a_class: int) -> Photographs:
    backbone = backbone_of(EMBEDDED)
    encoder = make_encoder(load(backbone, None, None), backbone.image_size)
    pixels, names = _decoded(archive, a_class, backbone.image_size)
    noise_of_cell = StructuredNoise(family="structured", quantity=1)
    sources = pixels[:: max(1, len(pixels) // _NOISE_IMAGES)]
    chunks = noise_chunks(np.random.default_rng(0), noise_of_cell, _NOISE_IMAGES, backbone.image_size, sources)
    noise = np.concatenate([encoder(chunk) for _, chunk in chunks])
    labels = np.unique(names, return_inverse=True)[1].astype(np.int64)
    return Photographs(encoder(pixels), labels, noise)


def _decoded(archive: Path, a_class: int, image_size: int) -> tuple[UInt8[np.ndarray, "n size size 3"], list[str]]:
    """Pixels, and the names of their classes; the first files of each class."""
    pixels, names = [], Counter[str]()
    with tarfile.open(archive) as opened:
        for member in opened:
            name = PurePosixPath(member.name).parts[0]
            if member.isfile() and names[name] < a_class and (content := opened.extractfile(member)):
                names[name] += 1
                pixels.append(decode_image(content.read(), image_size, ImageLimits()))
    return np.stack(pixels), list(names.elements())
