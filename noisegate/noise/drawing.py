"""Images of noise: what the noise class is made of. NumPy and SciPy only.

Every family that draws is one function and one entry in `FAMILIES`; a mixture and structured noise of several kinds are
drawn group by group. Families draw whole uint8 images first and filter them afterwards, because the authors filtered
images that had already been rounded and saturated.
"""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import UInt8
from scipy import ndimage

from noisegate.noise.canvas import (
    LEVELS,
    Canvas,
    Images,
    normal_pixels,
    solid_images,
    to_uint8,
    uniform_pixels,
)
from noisegate.noise.families import (
    GaussianNoise,
    GrayNoise,
    MixtureNoise,
    NoiseFilter,
    NoiseSpec,
    SolidNoise,
    StructuredNoise,
    UniformNoise,
)
from noisegate.noise.structured import KINDS, checked_training_images

# Values drawn at a time: 16 MB of float32, so that the peak stays near the result itself. The size is part of what a
# seed means (it decides how draws follow each other), so it is no setting.
_CHUNK_VALUES = 2**22

Draw = Callable[[np.random.Generator, NoiseSpec, Canvas], Images]


def noise_images(
    generator: np.random.Generator,
    spec: NoiseSpec,
    count: int,
    image_size: int,
    training_images: UInt8[np.ndarray, "train side side 3"] | None = None,
) -> UInt8[np.ndarray, "n size size 3"]:
    """`count` square RGB images of noise, 0 … 255 (PAPER.md, "Noise families" and "Beyond the paper").

    The same generator state gives the same bytes. Peak memory is the result plus a few chunks of 16 MB.

    Args:
        training_images: what structured noise cuts its patches from; may be a read-only memory map. Others ignore it.

    Raises:
        ValueError: the spec asks for patches, and there are no training images of this size.
    """
    images = np.empty((count, image_size, image_size, 3), dtype=np.uint8)
    for place, chunk in noise_chunks(generator, spec, count, image_size, training_images):
        images[place] = chunk
    return images


def noise_chunks(
    generator: np.random.Generator,
    spec: NoiseSpec,
    count: int,
    image_size: int,
    training_images: UInt8[np.ndarray, "train side side 3"] | None = None,
) -> Iterator[tuple[slice, UInt8[np.ndarray, "chunk size size 3"]]]:
    """The same images a chunk at a time, each with its place among them, for a caller who has the memory already.

    Groups follow each other; a chunk lies within one. `ValueError`, as above, comes before the first chunk.
    """
    if isinstance(spec, StructuredNoise) and "patches" in spec.kinds:
        checked_training_images(Canvas(count, image_size, training_images))
    a_chunk = max(1, _CHUNK_VALUES // (3 * image_size**2))
    groups = noise_groups(spec)
    for group, (first, end) in zip(groups, itertools.pairwise(_bounds(count, len(groups))), strict=True):
        for start in range(first, end, a_chunk):
            place = slice(start, min(start + a_chunk, end))
            canvas = Canvas(place.stop - start, image_size, training_images)
            yield place, FAMILIES[group.family](generator, group, canvas)


def noise_groups(spec: NoiseSpec) -> list[NoiseSpec]:
    """The equal groups that the images of `spec` come in, in their order; most families are a single group.

    A mixture becomes gaussian noise of every mean with every standard deviation with every filter size, the last changing
    fastest; structured noise becomes its kinds, in the order of the table of kinds whatever the order in the spec. What
    is left over when the count does not divide goes one each to the first groups.
    """
    match spec:
        case MixtureNoise():
            return [
                GaussianNoise(
                    family="gaussian", mean=mean, std=std, filter=NoiseFilter(kind=spec.filter_kind, size=size)
                )
                for mean, std, size in itertools.product(spec.means, spec.stds, spec.filter_sizes)
            ]
        case StructuredNoise():
            return [spec.model_copy(update={"kinds": [kind]}) for kind in KINDS if kind in spec.kinds]
        case _:
            return [spec]


def _bounds(count: int, groups: int) -> list[int]:
    """Where each group starts, and the end of the last."""
    share, left_over = divmod(count, groups)
    return [share * group + min(group, left_over) for group in range(groups + 1)]


def _gaussian(generator: np.random.Generator, spec: NoiseSpec, canvas: Canvas) -> Images:
    assert isinstance(spec, GaussianNoise)
    return _filtered(normal_pixels(generator, canvas, spec.mean, spec.std), spec.filter)


def _uniform(generator: np.random.Generator, spec: NoiseSpec, canvas: Canvas) -> Images:
    assert isinstance(spec, UniformNoise)
    return _filtered(uniform_pixels(generator, canvas, spec.low, spec.high), spec.filter)


def _solid(generator: np.random.Generator, spec: NoiseSpec, canvas: Canvas) -> Images:
    assert isinstance(spec, SolidNoise)
    return solid_images(generator, canvas)


def _gray(generator: np.random.Generator, spec: NoiseSpec, canvas: Canvas) -> Images:
    assert isinstance(spec, GrayNoise)
    levels = generator.integers(LEVELS, size=(canvas.count, 1, 1, 1), dtype=np.uint8)
    return np.broadcast_to(levels, canvas.shape).copy()


def _structured(generator: np.random.Generator, spec: NoiseSpec, canvas: Canvas) -> Images:
    assert isinstance(spec, StructuredNoise)
    (kind,) = spec.kinds
    return KINDS[kind](generator, canvas)


# A mixture has no entry of its own: its groups are gaussian.
FAMILIES: dict[str, Draw] = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "solid": _solid,
    "gray": _gray,
    "structured": _structured,
}


def _filtered(images: Images, noise_filter: NoiseFilter | None) -> Images:
    if noise_filter is None or noise_filter.size == 1:
        return images
    window = (1, noise_filter.size, noise_filter.size, 1)
    if noise_filter.kind == "median":
        # scipy's "reflect" repeats the edge pixel (d c b a | a b c d): MATLAB calls that symmetric.
        medians: Images = ndimage.median_filter(images, size=window, mode="reflect")
        return medians
    return to_uint8(ndimage.uniform_filter(images, size=window, mode="wrap", output=np.float32))
