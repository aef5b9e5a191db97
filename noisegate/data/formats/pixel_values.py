"""Arrays to pixels: uint8 (height, width, 3). What the numbers mean is told from the numbers, or refused."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noisegate.data.formats.npy import Array, NpyFile
from noisegate.data.members import refuse
from noisegate.errors import InvalidArchive

_WHITE = 255
_SHAPES = "Save images as (images, height, width) or (images, height, width, 3)."


@dataclass(frozen=True)
class Geometry:
    """Where an array (images, …) has its height, its width, and its channels if it says them."""

    height: int
    width: int
    channels: int | None = None
    channels_first: bool = False

    @property
    def image_bytes(self) -> int:
        """Of one image's pixels."""
        return self.height * self.width * 3

    def to_rgb(self, levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A block of images as (images, height, width, 3); gray levels stand three times."""
        if self.channels is None:
            levels = levels[..., np.newaxis]
        elif self.channels_first:
            levels = levels.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(np.broadcast_to(levels, (len(levels), self.height, self.width, 3)))


def geometry_of(array: NpyFile) -> Geometry:
    """How the array's images lie.

    Raises:
        InvalidArchive: it is no array of gray or RGB images, or it could be read in two ways.
    """
    shape = array.shape[1:]
    if 0 in shape:
        raise refuse(array.name, f"is {array.shape}: its images have no pixels", _SHAPES)
    if len(shape) == 2:
        return Geometry(*shape)
    if len(shape) == 3:
        last, first = shape[2] in (1, 3), shape[0] in (1, 3)
        if last and first:
            raise refuse(array.name, f"is {array.shape}: its channels may come first or last", _SHAPES)
        if last:
            return Geometry(shape[0], shape[1], shape[2])
        if first:
            return Geometry(shape[1], shape[2], shape[0], channels_first=True)
    what = {1: "rows of numbers", 3: "volumes, or images of other than 1 or 3 channels", 4: "volumes"}
    raise refuse(array.name, f"is {array.shape}: {what.get(len(shape), 'no images')}", _SHAPES)


def white_of(array: NpyFile) -> int:
    """The value that is white: 255, or 1 where all are 255ths of it. Reads the whole array, unless its type is uint8.

    Raises:
        InvalidArchive: it cannot be told for certain, or the values are no levels of 8 bits.
    """
    if array.dtype == np.uint8:
        return _WHITE
    whole = parts = array.dtype.kind in "iuf"
    lowest, highest = np.inf, -np.inf
    for block in array.blocks() if whole else ():
        # NaN stays what it was met as.
        lowest, highest = float(np.minimum(lowest, block.min())), float(np.maximum(highest, block.max()))
        if not (lowest >= 0 and highest <= _WHITE):
            whole = parts = False
        whole = whole and bool((block == np.rint(block)).all())
        parts = parts and highest <= 1 and _are_255ths(block)
    if whole and highest > 1:
        return _WHITE
    if parts and not whole:
        return 1
    raise _uncertain(array, lowest, highest)


def check_highest(array: NpyFile, highest: int) -> None:
    """Raises InvalidArchive for images of uint8 without a value above 1, as of black and white: 1 may be white."""
    if array.dtype == np.uint8 and highest <= 1:
        raise _uncertain(array, 0, highest)


def _uncertain(array: NpyFile, lowest: float, highest: float) -> InvalidArchive:
    scale = f", from {lowest:g} to {highest:g}" if highest >= lowest else ""
    what = f"holds values of type {array.dtype}{scale}: which one is white cannot be told for certain"
    return refuse(array.name, what, _advice(array.dtype, lowest, highest))


def _advice(dtype: np.dtype[np.generic], lowest: float, highest: float) -> str:
    """How to save arrays of such values as levels of 8 bits, by an expression that keeps within 0 … 255."""
    if dtype == np.bool_:
        lowest, highest = 0, 1
    if not np.isfinite([lowest, highest]).all():
        return "Save uint8, 0 … 255, without infinite values and such as are no number (numpy.isfinite finds them)."
    if lowest >= 0 and highest <= 1:
        how, where = "255 * images", "0 is black and 1 is white"
    elif lowest >= -1 and highest <= 1:
        how, where = "127.5 * (images + 1)", "-1 is black and 1 is white"
    elif dtype == np.uint16:
        how, where = "images / 257", "65535 is white, or images / 16.06 if these are 12 bits and 4095 is white"
    elif lowest >= 0 and highest <= _WHITE:
        how, where = "images", "255 is white"
    else:
        how = "numpy.clip(255 * (images - black) / (white - black), 0, 255)"
        where = "black and white are the values of these, which are the same for all images"
    return f"Save uint8, 0 … 255: numpy.rint({how}).astype('uint8') if {where}."


def to_levels(block: Array, white: int) -> npt.NDArray[np.uint8]:
    """A block's values as levels 0 … 255; `white` is what `white_of` found."""
    return block if block.dtype == np.uint8 else np.rint(block * (_WHITE / white)).astype(np.uint8)


def _are_255ths(block: Array) -> bool:
    levels = block.astype(np.float64) * _WHITE
    # Half a step of float16 is an eighth of a level; of the other types, next to nothing.
    near = 0.13 if block.dtype.itemsize == 2 else 0.01
    return bool((np.abs(levels - np.rint(levels)) < near).all())
