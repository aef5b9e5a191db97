"""Folders of images, as people have them."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def png(seed: int, low: int = 0, high: int = 256, size: int = 8) -> bytes:
    """A PNG of random pixels between `low` and `high`."""
    pixels = np.random.default_rng(seed).integers(low, high, (size, size, 3)).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    return encoded.getvalue()


def fill(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The folder, with these files below it."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def two_classes(folder: Path, of_each: int = 3) -> Path:
    """A folder of cats and dogs."""
    names = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(of_each)]
    return fill(folder, {name: png(number) for number, name in enumerate(names)})
