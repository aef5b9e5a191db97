"""A square of a given size from an image of any: stretched, cropped or padded, by antialiased bilinear filtering."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from noisegate.spec.derived import Resize

_PADDING = (128, 128, 128)


def resized(image: Image.Image, image_size: int, resize: Resize) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB image as uint8 of shape (image_size, image_size, 3); as they are if it has that size."""
    size = (image_size, image_size)
    fitted = image if image.size == size else _FITTING[resize](image, image_size)
    return np.array(fitted, dtype=np.uint8)


def _stretched(image: Image.Image, image_size: int) -> Image.Image:
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR)


def _cropped(image: Image.Image, image_size: int) -> Image.Image:
    """The middle, in one step: its corners may lie between pixels of the original, so nothing is off the centre."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=box)


def _padded(image: Image.Image, image_size: int) -> Image.Image:
    width, height = image.size
    share = image_size / max(width, height)
    inner = max(1, round(width * share)), max(1, round(height * share))
    square = Image.new("RGB", (image_size, image_size), _PADDING)
    place = (image_size - inner[0]) // 2, (image_size - inner[1]) // 2
    square.paste(image.resize(inner, Image.Resampling.BILINEAR), place)
    return square


_FITTING: dict[Resize, Callable[[Image.Image, int], Image.Image]] = {
    "stretch": _stretched,
    "crop": _cropped,
    "pad": _padded,
}
