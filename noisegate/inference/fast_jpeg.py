"""JPEGs by simplejpeg, where it is installed: the same library below as Pillow's (libjpeg-turbo), the same pixels, sooner.

It takes what is plain, gray or YCbCr, and answers None for all else, for what is damaged too: Pillow then decides, and
says what is wrong.
"""

import numpy as np
import numpy.typing as npt

try:
    import simplejpeg
except ModuleNotFoundError:
    simplejpeg = None

_PLAIN = {"YCbCr", "Gray"}


def size_of(data: bytes) -> tuple[int, int] | None:
    """(width, height) by a JPEG's header, if `decode` will take it."""
    if simplejpeg is None:
        return None
    try:
        height, width, colours, _subsampling = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return None
    return (width, height) if colours in _PLAIN else None


def decode(data: bytes, factor: int = 1) -> npt.NDArray[np.uint8] | None:
    """The pixels of a JPEG that `size_of` knows, uint8 RGB [height, width, 3]; None if it is damaged.

    Args:
        factor: 1, 2 or 4, by which the sides are divided, rounded up.
    """
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", **_least(data, factor))
    except ValueError:
        return None
    return pixels


def _least(data: bytes, factor: int) -> dict[str, int]:
    """The sides to ask for: the decoder takes the smallest of its own that are no smaller."""
    if factor == 1:
        return {}
    height, width, _colours, _subsampling = simplejpeg.decode_jpeg_header(data)
    return {"min_height": -(-height // factor), "min_width": -(-width // factor)}
