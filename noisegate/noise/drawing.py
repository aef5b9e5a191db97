"""Images of noise, drawn group by group and a chunk at a time."""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from noisegate.noise.base import NoiseFamily
from noisegate.noise.canvas import Canvas

# Values drawn at a time: 16 MB of float32, so that the peak stays near the result itself. The size is part of what a
# seed means (it decides how draws follow each other), so it is no setting.
_CHUNK_VALUES = 2**22


def noise_images(
    generator: np.random.Generator,
    noise: NoiseFamily,
    count: int,
    image_size: int,
    training_images: UInt8[np.ndarray, "train side side 3"] | None = None,
) -> UInt8[np.ndarray, "n size size 3"]:
    """`count` square RGB images of noise, 0 … 255 (PAPER.md, "Noise families" and "Beyond the paper").

    The same generator state gives the same bytes. Peak memory is the result plus a few chunks of 16 MB.

    Args:
        training_images: for noise that is made of them; may be a read-only memory map. Others ignore it.

    Raises:
        ValueError: the noise is made of training images, and there are none of this size.
    """
    images = np.empty((count, image_size, image_size, 3), dtype=np.uint8)
    for place, chunk in noise_chunks(generator, noise, count, image_size, training_images):
        images[place] = chunk
    return images


def noise_chunks(
    generator: np.random.Generator,
    noise: NoiseFamily,
    count: int,
    image_size: int,
    training_images: UInt8[np.ndarray, "train side side 3"] | None = None,
) -> Iterator[tuple[slice, UInt8[np.ndarray, "chunk size size 3"]]]:
    """The same images a chunk at a time, each with its place among them, for a caller who has the memory already.

    Groups follow each other; a chunk lies within one. `ValueError`, as above, comes before the first chunk.
    """
    if noise.needs_training_images:
        Canvas(count, image_size, training_images).checked_training_images()
    a_chunk = max(1, _CHUNK_VALUES // (3 * image_size**2))
    groups = noise.groups()
    for group, (first, end) in zip(groups, itertools.pairwise(_bounds(count, len(groups))), strict=True):
        for start in range(first, end, a_chunk):
            place = slice(start, min(start + a_chunk, end))
            yield place, group.draw(generator, Canvas(place.stop - start, image_size, training_images))


def _bounds(count: int, groups: int) -> list[int]:
    """Where each group starts, and the end of the last."""
    share, left_over = divmod(count, groups)
    return [share * group + min(group, left_over) for group in range(groups + 1)]
