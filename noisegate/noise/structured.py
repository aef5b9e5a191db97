"""Images that are neither natural nor independent from pixel to pixel (PAPER.md, "Beyond the paper: structured noise").

One function a kind, and one entry in `STRUCTURED_KINDS`. Lengths are meant for a side of 32 pixels and grow with the side, so
that a kind looks alike at every image size; where that would be less than a pixel can show, one pixel it is.

The bytes must be the same on every machine, but exp, sin and cos differ in the last bit from one processor to the next,
and so do long sums whose order a library chooses by processor. So random parameters are whole numbers, directions are
normalised by square root and division (exact in IEEE 754), and smoothing adds up whole numbers below 2⁵³ in float64, which
is exact in any order. What remains is the tail of NumPy's normal values, which asks the C library for exp and log.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import scipy
from jaxtyping import Bool, Float, Float32, Int64
from pydantic import Field, model_validator

from noisegate.noise.base import NoiseFamily, Quantity
from noisegate.noise.canvas import Canvas, Images, colours, normal_pixels, solid_images, to_uint8, uniform_pixels

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

# Below this side the smallest patches, of 2 pixels at the usual side, are single pixels.
_PATCHES_OF_A_PIXEL_BELOW = 24

StructuredKind = Literal["uniform", "gaussian", "smooth", "two_colour", "grating", "patches", "solid"]
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
    training_images = canvas.checked_training_images()
    images: Images = training_images[generator.integers(len(training_images), size=canvas.count)]
    choices = generator.integers(len(_PATCHES), size=canvas.count)
    for choice, pixels in enumerate(_PATCHES):
        chosen = choices == choice
        images[chosen] = _shuffled(generator, images[chosen], max(1, round(pixels * canvas.image_size / _USUAL_SIDE)))
    return images


@dataclass(frozen=True)
class StructuredImages:
    """How the images of one kind are made.

    Attributes:
        draw: as many as the canvas asks for.
        details: what they look like, for a picture's label.
        covers: the card's families of images that come from the same generator.
    """

    draw: Callable[[np.random.Generator, Canvas], Images]
    details: str
    covers: frozenset[str] = frozenset()


# Smooth fields resemble the card's blobs, gratings its checkerboards, and patches its shuffled pixels, but the card's images
# are made otherwise: these kinds cover nothing.
STRUCTURED_KINDS: dict[StructuredKind, StructuredImages] = {
    "uniform": StructuredImages(uniform_pixels, "all levels alike", frozenset({"uniform"})),
    "gaussian": StructuredImages(_gaussian, "any mean and width", frozenset({"gaussian"})),
    "smooth": StructuredImages(_smooth, "any scale and contrast"),
    "two_colour": StructuredImages(_two_colour, "smooth fields, thresholded"),
    "grating": StructuredImages(_grating, "any angle and period"),
    "patches": StructuredImages(_patches, "training images, shuffled"),
    "solid": StructuredImages(solid_images, "one colour an image", frozenset({"solid", "gray"})),
}


class StructuredNoise(NoiseFamily):
    """Several kinds of images that are not natural, but not independent from pixel to pixel either, in equal parts.

    uniform; gaussian of many means and widths; smooth fields of many scales and contrasts; two_colour fields thresholded
    from smooth ones; gratings of any angle and width; training images cut into patches and shuffled; solid colours.
    """

    family: Literal["structured"]
    kinds: list[StructuredKind] = Field(
        default=list(get_args(StructuredKind)),
        min_length=1,
        description="The kinds that are mixed; leave one out to test the network on what it has not seen.",
    )
    quantity: Quantity = 1

    @model_validator(mode="after")
    def _each_once(self) -> "StructuredNoise":
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError("names a kind twice")
        return self

    def groups(self) -> "Sequence[StructuredNoise]":
        """A group a kind, in the order of the table of kinds, not in that of the spec."""
        return [self.model_copy(update={"kinds": [kind]}) for kind in STRUCTURED_KINDS if kind in self.kinds]

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        (kind,) = self.kinds
        return STRUCTURED_KINDS[kind].draw(generator, canvas)

    @property
    def needs_training_images(self) -> bool:
        return "patches" in self.kinds

    def covers(self, image_size: int) -> frozenset[str]:
        """What its kinds cover. Where the image size makes them single pixels, patches are shuffled pixels."""
        found: frozenset[str] = frozenset().union(*(STRUCTURED_KINDS[kind].covers for kind in self.kinds))
        single_pixels = "patches" in self.kinds and image_size < _PATCHES_OF_A_PIXEL_BELOW
        return found | {"pixel_shuffled"} if single_pixels else found

    def words(self) -> str:
        return f"structured{_named(self.kinds)} {self.times}"

    @property
    def title(self) -> str:
        return f"structured: {'/'.join(self.kinds)}"

    def details(self) -> list[str]:
        return [STRUCTURED_KINDS[kind].details for kind in self.kinds]


def _named(kinds: Sequence[StructuredKind]) -> str:
    """The kinds, or those left out, whichever are fewer; nothing for all of them."""
    missing = [kind for kind in STRUCTURED_KINDS if kind not in kinds]
    if not missing:
        return ""
    return f" without {'/'.join(missing)}" if len(missing) < len(kinds) else f" {'/'.join(kinds)}"


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
        whole = scipy.ndimage.correlate1d(whole, weights, axis=axis, mode="wrap")
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
