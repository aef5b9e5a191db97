"""Images of noise: what the noise class is made of. NumPy and SciPy only.

Every family is one function and one entry in `FAMILIES`. Families draw whole uint8 images first and filter them
afterwards, because the authors filtered images that had already been rounded and saturated.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from noisegate.spec import GaussianNoise, NoiseFilter, NoiseSpec, UniformNoise

# Values drawn at a time: 16 MB of float32, so that the peak stays near the result itself. The size is part of what a
# seed means (it decides how draws follow each other), so it is no setting.
_CHUNK_VALUES = 2**22

Shape = tuple[int, int, int, int]
Draw = Callable[[np.random.Generator, NoiseSpec, Shape], UInt8[np.ndarray, "n h w 3"]]


def noise_images(
    generator: np.random.Generator, spec: NoiseSpec, count: int, image_size: int
) -> UInt8[np.ndarray, "n size size 3"]:
    """`count` square RGB images of noise, 0 … 255 (PAPER.md, "Noise families").

    The same generator state gives the same bytes. Peak memory is the result plus a few chunks of 16 MB.
    """
    images = np.empty((count, image_size, image_size, 3), dtype=np.uint8)
    for place, chunk in noise_chunks(generator, spec, count, image_size):
        images[place] = chunk
    return images


def noise_chunks(
    generator: np.random.Generator, spec: NoiseSpec, count: int, image_size: int
) -> Iterator[tuple[slice, UInt8[np.ndarray, "chunk size size 3"]]]:
    """The same images a chunk at a time, each with its place among them, for a caller who has the memory already."""
    draw = FAMILIES[spec.family]
    a_chunk = max(1, _CHUNK_VALUES // (3 * image_size**2))
    for start in range(0, count, a_chunk):
        place = slice(start, min(start + a_chunk, count))
        shape = (place.stop - start, image_size, image_size, 3)
        yield place, _filtered(draw(generator, spec, shape), spec.filter)


def _gaussian(generator: np.random.Generator, spec: NoiseSpec, shape: Shape) -> UInt8[np.ndarray, "n h w 3"]:
    assert isinstance(spec, GaussianNoise)
    values = generator.standard_normal(shape, dtype=np.float32)
    values *= spec.std
    values += spec.mean
    return _to_uint8(values)


def _uniform(generator: np.random.Generator, spec: NoiseSpec, shape: Shape) -> UInt8[np.ndarray, "n h w 3"]:
    assert isinstance(spec, UniformNoise)
    return generator.integers(spec.low, spec.high, shape, dtype=np.uint8, endpoint=True)


FAMILIES: dict[str, Draw] = {"gaussian": _gaussian, "uniform": _uniform}


def _filtered(images: UInt8[np.ndarray, "n h w 3"], noise_filter: NoiseFilter | None) -> UInt8[np.ndarray, "n h w 3"]:
    if noise_filter is None or noise_filter.size == 1:
        return images
    window = (1, noise_filter.size, noise_filter.size, 1)
    if noise_filter.kind == "median":
        # scipy's "reflect" repeats the edge pixel (d c b a | a b c d): MATLAB calls that symmetric.
        medians: UInt8[np.ndarray, "n h w 3"] = ndimage.median_filter(images, size=window, mode="reflect")
        return medians
    return _to_uint8(ndimage.uniform_filter(images, size=window, mode="wrap", output=np.float32))


def _to_uint8(values: np.ndarray) -> UInt8[np.ndarray, "n h w 3"]:
    images: UInt8[np.ndarray, "n h w 3"] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return images
