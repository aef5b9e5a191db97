"""Images that are neither natural nor independent from pixel to pixel (PAPER.md, "Beyond the paper: structured noise").

One function a kind, and one entry in `KINDS`. Lengths are meant for a side of 32 pixels and grow with the side, so that a
kind looks alike at every image size; where that would be less than a pixel can show, one pixel it is.

The bytes must be the same on every machine, but exp, sin and cos differ in the last bit from one processor to the next,
and so do long sums whose order a library chooses by processor. So random parameters are whole numbers, directions are
normalised by square root and division (exact in IEEE 754), and smoothing adds up whole numbers below 2⁵³ in float64, which
is exact in any order. What remains is the tail of NumPy's normal values, which asks the C library for exp and log.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from scipy import ndimage

from noisegate.noise.canvas import (
    Canvas,
    Images,
    colours,
    normal_pixels,
    solid_images,
    to_uint8,
    uniform_pixels,
)
from noisegate.noise.families import StructuredKind

_USUAL_SIDE = 32
# Pixel levels, both ends included; also the levels and contrasts of smooth fields.
_MEANS = (60, 190)
_STDS = (15, 90)
# At the usual side, in eighths of a pixel, both ends included: standard deviations of the smoothing, and the width of a
# light and a dark stripe together.
_SCALES = (4, 32)
_PERIODS = (16, 128)
_SHORTEST_PERIOD = 2.0
# At the usual side, in pixels.
_PATCHES = (2, 4, 8)
# Of normal values and of smoothing weights before they become whole numbers.
_VALUE_STEPS = 2**8
_WEIGHT_STEPS = 2**16

Draw = Callable[[np.random.Generator, Canvas], Images]
PerImage = Int64[np.ndarray, "n 1 1 1"]


def _gaussian(generator: np.random.Generator, canvas: Canvas) -> Images:
    """i.i.d. normal values; a mean of 60 … 190 and a standard deviation of 15 … 90 levels for each image."""
    return normal_pixels(generator, canvas, *_levels_and_contrasts(generator, canvas.count))


def _smooth(generator: np.random.Generator, canvas: Canvas) -> Images:
    """Smoothed fields of many scales, levels and contrasts; every other image has one field for all three channels."""
    level, contrast = _levels_and_contrasts(generator, canvas.count)
    values = _fields(generator, canvas, channels=3)
    values[::2] = values[::2, :, :, :1]
    values *= contrast
    values += level
    return to_uint8(values)


def _two_colour(generator: np.random.Generator, canvas: Canvas) -> Images:
    """Smoothed fields cut at their median: two random colours, each on half of the image."""
    field = _fields(generator, canvas, channels=1)
    half = canvas.image_size**2 // 2
    # An element of the field, not the mean of two: nothing is rounded, and both colours appear.
    median = np.partition(field.reshape(canvas.count, -1), half, axis=1)[:, half]
    return _in_two_colours(generator, field >= median[:, None, None, None])


def _grating(generator: np.random.Generator, canvas: Canvas) -> Images:
    """Stripes of any angle, 1 … 8 pixels wide each at a side of 32 (never below 1), in two random colours."""
    across = generator.standard_normal((canvas.count, 2))
    across /= np.sqrt(across[:, :1] * across[:, :1] + across[:, 1:] * across[:, 1:])
    period = np.maximum(_lengths(generator, _PERIODS, canvas), _SHORTEST_PERIOD)
    start = generator.random((canvas.count, 1, 1, 1))
    y, x, _ = np.ogrid[: canvas.image_size, : canvas.image_size, :1]
    distance = across[:, 0, None, None, None] * x + across[:, 1, None, None, None] * y
    return _in_two_colours(generator, np.floor((distance / period + start) * 2) % 2 == 1)


def _patches(generator: np.random.Generator, canvas: Canvas) -> Images:
    """Training images, drawn with replacement, cut into patches of 2, 4 or 8 pixels that change places at random.

    What is left at the right and lower edge, where the patch does not divide the side, stays as it was.
    """
    training_images = checked_training_images(canvas)
    images: Images = training_images[generator.integers(len(training_images), size=canvas.count)]
    choices = generator.integers(len(_PATCHES), size=canvas.count)
    for choice, pixels in enumerate(_PATCHES):
        chosen = choices == choice
        images[chosen] = _shuffled(generator, images[chosen], max(1, round(pixels * canvas.image_size / _USUAL_SIDE)))
    return images


KINDS: dict[StructuredKind, Draw] = {
    "uniform": uniform_pixels,
    "gaussian": _gaussian,
    "smooth": _smooth,
    "two_colour": _two_colour,
    "grating": _grating,
    "patches": _patches,
    "solid": solid_images,
}


def checked_training_images(canvas: Canvas) -> UInt8[np.ndarray, "train side side 3"]:
    """The training images that patches are cut from.

    Raises:
        ValueError: there are none, or they have another size than the canvas.
    """
    images = canvas.training_images
    if images is None or len(images) == 0:
        raise ValueError("structured noise with patches needs training images")
    if images.shape[1:] != canvas.shape[1:]:
        raise ValueError(f"training images have the shape {images.shape[1:]}, the noise {canvas.shape[1:]}")
    return images


def _levels_and_contrasts(generator: np.random.Generator, count: int) -> tuple[PerImage, PerImage]:
    shape = (count, 1, 1, 1)
    return generator.integers(*_MEANS, shape, endpoint=True), generator.integers(*_STDS, shape, endpoint=True)


def _lengths(generator: np.random.Generator, eighths: tuple[int, int], canvas: Canvas) -> Float[np.ndarray, "n 1 1 1"]:
    """A random length for each image, in pixels of the canvas, from bounds in eighths of a pixel at the usual side."""
    drawn = generator.integers(*eighths, (canvas.count, 1, 1, 1), endpoint=True)
    return drawn * canvas.image_size / (8 * _USUAL_SIDE)


def _fields(generator: np.random.Generator, canvas: Canvas, channels: int) -> Float32[np.ndarray, "n size size c"]:
    """Gaussian fields of mean 0 and standard deviation 1, smoothed at scales of 0.5 … 4 pixels; they wrap around.

    Wrapping gives every pixel the same variance; mirroring would give those at the border more.
    """
    scales = _lengths(generator, _SCALES, canvas)[:, 0, 0, 0]
    fields = np.empty((*canvas.shape[:3], channels), dtype=np.float32)
    # Images of one scale at a time share a kernel; there are 29 scales.
    for scale in np.unique(scales):
        alike = np.flatnonzero(scales == scale)
        drawn = generator.standard_normal((len(alike), *fields.shape[1:]), dtype=np.float32)
        fields[alike] = _smoothed(drawn, float(scale))
    return fields


def _smoothed(values: Float32[np.ndarray, "n size size c"], scale: float) -> Float[np.ndarray, "n size size c"]:
    """Standard normal values smoothed at `scale` pixels and stretched to a standard deviation of 1 again."""
    weights = _gaussian_weights(scale)
    whole: Float[np.ndarray, "n size size c"] = np.rint(values * np.float32(_VALUE_STEPS)).astype(np.float64)
    for axis in (1, 2):
        whole = ndimage.correlate1d(whole, weights, axis=axis, mode="wrap")
    # Smoothing independent values along two axes multiplies their variance by the sum of squared weights, twice.
    whole /= _VALUE_STEPS * np.sum(weights * weights)
    return whole


def _gaussian_weights(scale: float) -> Float[np.ndarray, " taps"]:
    """Whole numbers in the proportions of a normal density, to three standard deviations."""
    places = np.arange(-math.ceil(3 * scale), math.ceil(3 * scale) + 1)
    density = np.exp(-0.5 * (places / scale) ** 2) / (scale * math.sqrt(2 * math.pi))
    weights: Float[np.ndarray, " taps"] = np.rint(_WEIGHT_STEPS * density)
    return weights


def _in_two_colours(generator: np.random.Generator, light: Bool[np.ndarray, "n size size 1"]) -> Images:
    return np.where(light, colours(generator, len(light)), colours(generator, len(light)))


def _shuffled(generator: np.random.Generator, images: Images, patch: int) -> Images:
    """Each image with its patches in an order of its own."""
    count, across = len(images), images.shape[1] // patch
    whole = across * patch
    rows = images[:, :whole, :whole].reshape(count, across, patch, across, patch, 3)
    patches = rows.swapaxes(2, 3).reshape(count, across**2, patch, patch, 3)
    order = generator.permuted(np.tile(np.arange(across**2), (count, 1)), axis=1)
    mixed = patches[np.arange(count)[:, None], order].reshape(count, across, across, patch, patch, 3)
    shuffled = images.copy()
    shuffled[:, :whole, :whole] = mixed.swapaxes(2, 3).reshape(count, whole, whole, 3)
    return shuffled
