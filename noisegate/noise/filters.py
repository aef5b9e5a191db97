"""Smoothing of noise images. Families filter images that have been rounded and saturated, as the authors did."""

from typing import Literal

import numpy as np
import scipy

from noisegate.documents import Strict
from noisegate.noise.canvas import Images, to_uint8

FilterSize = Literal[1, 3, 5, 7]
FilterKind = Literal["mean", "median"]


class NoiseFilter(Strict):
    """Smooths each channel of each noise image; size 1 leaves it as it is. The mean wraps around, the median mirrors."""

    kind: FilterKind
    size: FilterSize


def filtered(images: Images, noise_filter: NoiseFilter | None) -> Images:
    """The images smoothed, rounded again."""
    if noise_filter is None or noise_filter.size == 1:
        return images
    window = (1, noise_filter.size, noise_filter.size, 1)
    if noise_filter.kind == "median":
        # scipy's "reflect" repeats the edge pixel (d c b a | a b c d): MATLAB calls that symmetric.
        medians: Images = scipy.ndimage.median_filter(images, size=window, mode="reflect")
        return medians
    return to_uint8(scipy.ndimage.uniform_filter(images, size=window, mode="wrap", output=np.float32))


def filter_words(noise_filter: NoiseFilter | None) -> str:
    """What a label ends with: `, median 3`, or nothing."""
    return f", {noise_filter.kind} {noise_filter.size}" if noise_filter else ""


def filter_details(noise_filter: NoiseFilter | None) -> list[str]:
    """A line for a row of images; none where nothing is changed."""
    if noise_filter is None or noise_filter.size == 1:
        return []
    return [f"{noise_filter.kind} filter, {noise_filter.size} by {noise_filter.size}"]


def filter_work(noise_filter: NoiseFilter | None) -> int:
    """How long filtering takes: a median looks at each pixel of its window for every value, a mean takes no time."""
    return noise_filter.size**2 if noise_filter is not None and noise_filter.kind == "median" else 1
