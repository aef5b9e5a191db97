"""A square of a given size from an image of any: stretched, cropped or padded, by antialiased filtering."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from noisegate.spec.derived import Fitting, Interpolation

_PADDING = (128, 128, 128)
_FILTERS: dict[Interpolation, Image.Resampling] = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
# A JPEG is decoded at a part of its size if what is used of it then still has this number of pixels a side for each one of the
# square. At 2, the square of a photograph differs by 0.3 to 1.7 levels of 255 in the mean (benchmarks/photograph_pixels.py).
_SPARE = 2
# Parts of which libjpeg-turbo's decoder is quick. At an eighth, of blocks there is nothing but the mean: 2.8 levels.
_FACTORS = (4, 2)


def resized(image: Image.Image, image_size: int, fitting: Fitting) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB image as uint8 of shape (image_size, image_size, 3); as they are if all of it has that size."""
    if image.size == (image_size, image_size) and fitting.crop_share == 1:
        return np.array(image, dtype=np.uint8)
    fitted = _padded(image, image_size, fitting) if fitting.resize == "pad" else _cut(image, image_size, fitting)
    return np.array(fitted, dtype=np.uint8)


def scale_factor(width: int, height: int, image_size: int, fitting: Fitting) -> int:
    """By how much a JPEG's sides are divided where it is decoded: 1, 2 or 4."""
    if fitting.decoding == "full":
        return 1
    used = min(width, height) * fitting.crop_share
    return next((factor for factor in _FACTORS if used >= _SPARE * factor * image_size), 1)


def _cut(image: Image.Image, image_size: int, fitting: Fitting) -> Image.Image:
    """The middle, in one step: its corners may lie between pixels of the original, so nothing is off the centre."""
    width, height = image.size
    used = (min(width, height),) * 2 if fitting.resize == "crop" else (width, height)
    inner_width, inner_height = (side * fitting.crop_share for side in used)
    left, top = (width - inner_width) / 2, (height - inner_height) / 2
    box = (left, top, left + inner_width, top + inner_height)
    return image.resize((image_size, image_size), _FILTERS[fitting.interpolation], box=box)


def _padded(image: Image.Image, image_size: int, fitting: Fitting) -> Image.Image:
    width, height = image.size
    share = image_size / max(width, height)
    inner = max(1, round(width * share)), max(1, round(height * share))
    square = Image.new("RGB", (image_size, image_size), _PADDING)
    place = (image_size - inner[0]) // 2, (image_size - inner[1]) // 2
    square.paste(image.resize(inner, _FILTERS[fitting.interpolation]), place)
    return square
