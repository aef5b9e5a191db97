"""Images that show what they are: the left half is coloured by the class, the right half gray by the part.

So a test can tell from the pixels alone whether an image got the label and the part that it was made for.
"""

import io
from itertools import product
from typing import Literal

import numpy as np
from PIL import Image

Part = Literal["train", "val", "test"]

# Three levels a channel, far enough apart for any encoder. The grays stand first, for formats without colours.
_LEVELS = (20, 128, 236)
_COLOURS = sorted(product(_LEVELS, repeat=3), key=lambda colour: (len(set(colour)), colour))
# Class names that fixtures use; UNLABELLED are images that must become none.
UNLABELLED = "unlabelled"
_NAMES = (
    "0", "1", "2", "cat", "dog", "frog", "bus", "car", "train", "test", "val", "Äpfel", "Birnen", "Cat", "01", "NA", "猫", "犬",
    "Grüße", "images", "crane (n02012849)", "crane (n03126707)", "goldfish", "a, b", "noise", "null", UNLABELLED,
)  # fmt: skip
_COLOUR_OF = dict(zip(_NAMES, _COLOURS, strict=True))
_GRAY_OF: dict[Part | None, int] = {None: 240, "train": 30, "val": 100, "test": 170}
_STEPS = 16


def pixels(name: str, part: Part | None = None, number: int = 0, size: int = 16) -> np.ndarray:
    """uint8 (size, size, 3) of the class `name`; `number` tells images of one class apart."""
    image = np.empty((size, size, 3), np.uint8)
    image[:, : size // 2] = _COLOUR_OF[name]
    image[:, size // 2 :] = _GRAY_OF[part] - number % _STEPS
    return image


def gray(name: str, part: Part | None = None, number: int = 0, size: int = 16) -> np.ndarray:
    """uint8 (size, size), for the classes `0`, `1` and `2`."""
    levels = pixels(name, part, number, size)
    assert (levels == levels[..., :1]).all(), "a class without a colour"
    return levels[..., 0]


def photo(name: str, part: Part | None = None, number: int = 0, kind: str = "PNG", size: int = 16) -> bytes:
    """The same as an image file."""
    file = io.BytesIO()
    options = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}, "AVIF": {"quality": 95}}.get(kind, {})
    Image.fromarray(pixels(name, part, number, size)).save(file, kind, **options)
    return file.getvalue()


def shown(image: np.ndarray) -> tuple[str, Part | None]:
    """Class and part that an image (size, size, 3) shows; fails if it shows none."""
    size = image.shape[1]
    left, right = image[:, : size * 3 // 8].astype(float), image[:, -(size * 3 // 8) :].astype(float)
    colour = left.mean(axis=(0, 1))
    nearest = min(_COLOURS, key=lambda one: float(abs(colour - one).max()))
    assert abs(colour - nearest).max() < 25, f"{colour} is the colour of no class"
    level = right.mean() + _STEPS / 2
    part = min(_GRAY_OF, key=lambda part: abs(_GRAY_OF[part] - level))
    assert abs(_GRAY_OF[part] - level) < 25, f"{level} is the gray of no part"
    return next(name for name, of in _COLOUR_OF.items() if of == nearest), part
