"""Families of images that belong to no class, to try a trained model on: one function each, one entry in `UNKNOWN_FAMILIES`.

The same generator state gives the same bytes on every machine, as for noise that is trained on (docs/decisions/0008): what
decides a pixel is a whole number, but for the tail of NumPy's normal values, and hybrids, which are rounded twice.

Lengths grow with the side of the image, so that a family looks alike at every image size from 8 up.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits

from noisegate.api.card import FamilyGroup
from noisegate.evaluation.hybrids import hybrid
from noisegate.noise import GaussianNoise, GrayNoise, NoiseFamily, SolidNoise, UniformNoise
from noisegate.noise.canvas import LEVELS, Images, colours
from noisegate.noise.drawing import noise_images
from noisegate.spec import HybridCutoffs

# Pixels drawn at a time, which in float64 take 12 MB. Part of what a seed means, as it decides how draws follow each other.
_CHUNK_PIXELS = 2**19
_USUAL_SIDE = 32
_MID_GRAY = 128
# Of 256: the smallest and the largest share of an image's pixels that salt and pepper falls on.
_SALTED = (16, 128)
# At the usual side, in pixels: the window of the blur, and the squares of a checkerboard.
_BLUR_WINDOW = 3
_SQUARE = 4
_DIGITS_WHITE = 16
# More than the 1,438 training images of the digits; other datasets are shuffled, so these are a fair sample of them. And
# of 100 digits some are in any part of a dataset that is large enough to train on.
_IMAGES_COMPARED = 2000
_DIGITS_COMPARED = 100


@dataclass(frozen=True)
class KnownImages:
    """The test images that some families are made from, and their classes. May be read-only memory maps."""

    images: UInt8[np.ndarray, "known size size 3"]
    labels: Int64[np.ndarray, " known"]

    @property
    def image_size(self) -> int:
        return int(self.images.shape[1])


# A generator, the known images, and which of the family's sources to take: one image is made for each.
DrawFamily = Callable[[np.random.Generator, KnownImages, Int64[np.ndarray, " n"]], UInt8[np.ndarray, "n size size 3"]]


@dataclass(frozen=True)
class ImageFamily:
    """How to make one family.

    Attributes:
        name: as in `UNKNOWN_FAMILIES`.
        title: the kind of images in plain words.
        group: as a card's `FamilyResult` defines it.
        draw: makes one image for each source it is given.
        sources: how many different images there are to make it from; None where every image is drawn afresh.
    """

    name: str
    title: str
    group: FamilyGroup
    draw: DrawFamily
    sources: Callable[[KnownImages], int] | None = None

    def count(self, known: KnownImages, wanted: int) -> int:
        """How many images there will be: `wanted`, or each source once where there are fewer."""
        return wanted if self.sources is None else min(wanted, self.sources(known))


def family_chunks(
    family: ImageFamily, generator: np.random.Generator, known: KnownImages, wanted: int
) -> Iterator[UInt8[np.ndarray, "chunk size size 3"]]:
    """`family.count(known, wanted)` images, 0 … 255, at the test images' size; a chunk of at most 2¹⁹ pixels at a time.

    Sources are taken in random order, each once.
    """
    count = family.count(known, wanted)
    of_all = count if family.sources is None else family.sources(known)
    chosen = np.arange(count) if family.sources is None else generator.permutation(of_all)[:count]
    a_chunk = max(1, _CHUNK_PIXELS // known.image_size**2)
    for start in range(0, count, a_chunk):
        yield family.draw(generator, known, chosen[start : start + a_chunk])


def trained_families(noises: Sequence[NoiseFamily], images: UInt8[np.ndarray, "known size size 3"]) -> set[str]:
    """The families that a model has met in training: what its noise covers, and digits.

    Digits count as trained on if one of the first 2,000 training images is one of the first 100 digits, byte for byte.
    Handwritten digits of another origin are not recognised.

    Args:
        noises: what fills the noise class; noise with quantity 0 counts for nothing.
        images: the known training images; may be a read-only memory map.
    """
    covered = (noise.covers(images.shape[1]) for noise in noises if noise.quantity > 0)
    return set().union(*covered, {"digits"} if _holds_digits(images) else ())


def _noise(
    noise: NoiseFamily, generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]
) -> UInt8[np.ndarray, "n size size 3"]:
    return noise_images(generator, noise, len(chosen), known.image_size)


def _salt_and_pepper(generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]) -> Images:
    """Mid gray with a share of 1/16 … 1/2 of the pixels, another in each image, turned black or white."""
    places = (len(chosen), known.image_size, known.image_size, 1)
    salted = generator.integers(*_SALTED, (len(chosen), 1, 1, 1), endpoint=True)
    hit = generator.integers(LEVELS, size=places, dtype=np.uint8) < salted
    dots = generator.integers(2, size=places, dtype=np.uint8) * np.uint8(LEVELS - 1)
    return np.repeat(np.where(hit, dots, np.uint8(_MID_GRAY)), 3, axis=3)


def _rademacher(generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]) -> Images:
    """Every value 0 or 255."""
    shape = (len(chosen), known.image_size, known.image_size, 3)
    return generator.integers(2, size=shape, dtype=np.uint8) * np.uint8(LEVELS - 1)


def _blobs(generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]) -> Images:
    """Blurred noise, stretched to 0 … 255, with what lies below its median black (Hendrycks et al. 2019).

    The blur is a box of 3 pixels three times over, at a side of 32 close to a Gaussian of 1.4 pixels. It counts ones, so
    that sums are exact in any order up to a side of 4,096.
    """
    window = max(_BLUR_WINDOW, 2 * (_BLUR_WINDOW * known.image_size // (2 * _USUAL_SIDE)) + 1)
    fields = generator.integers(2, size=(len(chosen), known.image_size, known.image_size, 3)).astype(np.float64)
    for axis in (1, 2) * 3:
        fields = ndimage.correlate1d(fields, np.ones(window), axis=axis, mode="wrap")
    whole = fields.reshape(len(chosen), -1).astype(np.int64)
    whole -= whole.min(axis=1, keepdims=True)
    half = whole.shape[1] // 2
    median = np.partition(whole, half, axis=1)[:, half : half + 1]
    levels = whole * (LEVELS - 1) // np.maximum(1, whole.max(axis=1, keepdims=True))
    return np.where(whole < median, 0, levels).astype(np.uint8).reshape(fields.shape)


def _checkerboard(generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]) -> Images:
    """Squares of 4 pixels at a side of 32, in two random colours, at a random offset."""
    square = max(1, round(_SQUARE * known.image_size / _USUAL_SIDE))
    offsets = generator.integers(2 * square, size=(2, len(chosen), 1, 1, 1))
    y, x, _ = np.ogrid[: known.image_size, : known.image_size, :1]
    light = ((y + offsets[0]) // square + (x + offsets[1]) // square) % 2 == 1
    return np.where(light, colours(generator, len(chosen)), colours(generator, len(chosen)))


def _pixel_shuffled(generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]) -> Images:
    """Test images, the pixels of each in an order of their own; a pixel keeps its colour."""
    pixels = known.images[chosen].reshape(len(chosen), -1, 3)
    order = generator.permuted(np.tile(np.arange(pixels.shape[1]), (len(chosen), 1)), axis=1)
    return np.take_along_axis(pixels, order[:, :, np.newaxis], axis=1).reshape(-1, *known.images.shape[1:])


def _inverted(_generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]) -> Images:
    """255 − a test image."""
    negatives: Images = (LEVELS - 1) - known.images[chosen]
    return negatives


def _hybrids(generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]) -> Images:
    """Low frequencies of one test image, high ones of another of another class, at the default cut-offs."""
    partners = _of_another_class(generator, known.labels, chosen)
    cutoffs = HybridCutoffs()
    return hybrid(known.images[chosen], known.images[partners], cutoffs.low_cutoff, cutoffs.high_cutoff)


def _of_another_class(
    generator: np.random.Generator, labels: Int64[np.ndarray, " known"], chosen: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """For each of `chosen` an image of another class, all of them equally likely."""
    by_class = np.argsort(labels, kind="stable")
    rising = labels[by_class]
    first = np.searchsorted(rising, labels[chosen], side="left")
    own = np.searchsorted(rising, labels[chosen], side="right") - first
    drawn = generator.integers(len(labels) - own)
    partners: Int64[np.ndarray, " n"] = by_class[np.where(drawn < first, drawn, drawn + own)]
    return partners


def _each_known(known: KnownImages) -> int:
    return len(known.images)


def _pairable(known: KnownImages) -> int:
    """Every test image, unless all are of one class: then nothing is a hybrid of two."""
    return len(known.labels) if len(np.unique(known.labels)) > 1 else 0


def _digits(_generator: np.random.Generator, known: KnownImages, chosen: Int64[np.ndarray, " n"]) -> Images:
    """scikit-learn's scans of handwritten digits, in the size and with the values of Noisegate's dataset `digits`."""
    return _enlarged_digits(known.image_size, _scans()[chosen])


@lru_cache(maxsize=1)
def _scans() -> UInt8[np.ndarray, "1797 8 8"]:
    scans: UInt8[np.ndarray, "1797 8 8"] = np.rint(load_digits().images * ((LEVELS - 1) / _DIGITS_WHITE)).astype(
        np.uint8
    )
    return scans


def _enlarged_digits(image_size: int, scans: UInt8[np.ndarray, "n 8 8"]) -> UInt8[np.ndarray, "n size size 3"]:
    size = (image_size, image_size)
    large = np.stack([np.asarray(Image.fromarray(scan).resize(size, Image.Resampling.BILINEAR)) for scan in scans])
    return np.repeat(large[..., np.newaxis], 3, axis=3)


def _holds_digits(images: UInt8[np.ndarray, "known size size 3"]) -> bool:
    """Is one of the first images one of the first digits, byte for byte?"""
    middle = images.shape[1] // 2
    # By their middle rows first, so that large images are hardly read. Of digits alike there one stands for all.
    digits = {
        digit[middle].tobytes(): digit for digit in _enlarged_digits(images.shape[1], _scans()[:_DIGITS_COMPARED])
    }
    likely = (image for image in images[:_IMAGES_COMPARED] if image[middle].tobytes() in digits)
    return any(np.array_equal(image, digits[image[middle].tobytes()]) for image in likely)


def _by_name(*families: ImageFamily) -> dict[str, ImageFamily]:
    return {family.name: family for family in families}


UNKNOWN_FAMILIES = _by_name(
    ImageFamily(
        "gaussian",
        "Gaussian noise: independent normal values, mean 127, standard deviation 70",
        "noise",
        partial(_noise, GaussianNoise(family="gaussian")),
    ),
    ImageFamily(
        "uniform",
        "Uniform noise: independent values from 0 to 255",
        "noise",
        partial(_noise, UniformNoise(family="uniform")),
    ),
    ImageFamily("salt_and_pepper", "Mid gray with black and white dots", "noise", _salt_and_pepper),
    ImageFamily("rademacher", "Independent values, each 0 or 255", "noise", _rademacher),
    ImageFamily("blobs", "Blurred noise, its darker half black", "noise", _blobs),
    ImageFamily("solid", "One random colour an image", "noise", partial(_noise, SolidNoise(family="solid"))),
    ImageFamily("gray", "One random gray level an image", "noise", partial(_noise, GrayNoise(family="gray"))),
    ImageFamily("checkerboard", "Checkerboards in two random colours", "noise", _checkerboard),
    ImageFamily(
        "pixel_shuffled", "Test images with their pixels in random order", "noise", _pixel_shuffled, _each_known
    ),
    ImageFamily("digits", "Handwritten digits, enlarged", "images", _digits, lambda _: len(_scans())),
    ImageFamily("inverted", "Test images as negatives", "natural_structure", _inverted, _each_known),
    ImageFamily(
        "hybrids",
        "The coarse shapes of one test image with the fine details of another class's",
        "natural_structure",
        _hybrids,
        _pairable,
    ),
)
