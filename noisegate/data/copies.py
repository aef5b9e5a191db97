"""Which images of a packed data set are copies: of the same pixels, of the same picture, of its mirror image."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noisegate.data.alike import Links, Places, alike_pairs, joined
from noisegate.data.likeness import SIDE, Thumbnails, thumbnails

_READ_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Copies:
    """What is a copy of what among n images.

    Attributes:
        picture: [n], the number of the picture that each image shows: images of the same pixels show the same one.
        first: the first image of each picture.
        links: pictures that are the same but for recompression, resizing, brightness, contrast or a small crop, or that are
            so once one is mirrored.
        least_likeness: of pictures that are linked: 0.83, or more where all images look alike.
    """

    picture: Places
    first: Places
    links: Links
    least_likeness: float


def find_copies(images: npt.NDArray[np.uint8], progress: Callable[[float], None] = lambda _share: None) -> Copies:
    """Compare images uint8 [n, size, size, 3]; the same images give the same answer.

    They may be a memory map: they are read once, in their order, and about 900 bytes of each stay in memory.

    Args:
        progress: told now and then which share is done, 0 … 1; what it raises ends the search.
    """
    read = _read(images, lambda share: progress(share / 2))
    links, least = alike_pairs(read.thumbs, lambda share: progress(0.5 + share / 2))
    return Copies(read.picture, read.first, joined([links, read.mirrored]), least)


@dataclass(frozen=True)
class _Read:
    """What is kept of the pixels: the picture of each image, and a thumbnail of each picture."""

    picture: Places
    first: Places
    thumbs: Thumbnails
    mirrored: Links


def _read(images: npt.NDArray[np.uint8], progress: Callable[[float], None]) -> _Read:
    number_of: dict[bytes, int] = {}
    picture: list[int] = []
    first: list[int] = []
    turned: list[bytes] = []
    thumbs = np.empty((len(images), SIDE, SIDE), np.uint8)
    step = max(1, _READ_BYTES * len(images) // max(1, images.nbytes))
    for start in range(0, len(images), step):
        pixels = np.array(images[start : start + step])
        new = []
        for place, image in enumerate(pixels):
            number = number_of.setdefault(_digest(image), len(number_of))
            picture.append(number)
            if number == len(first):
                first.append(start + place)
                turned.append(_digest(image[:, ::-1]))
                new.append(place)
        thumbs[len(first) - len(new) : len(first)] = thumbnails(pixels[new])
        progress(min(1.0, (start + step) / len(images)))
    pairs = [(number, number_of[digest]) for number, digest in enumerate(turned) if number < number_of.get(digest, -1)]
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    mirrored = Links(left, right, np.ones(len(pairs), np.float32), np.ones(len(pairs), np.bool_))
    return _Read(np.array(picture, np.int64), np.array(first, np.int64), thumbs[: len(first)], mirrored)


def _digest(pixels: npt.NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
