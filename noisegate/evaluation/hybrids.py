"""Hybrid images: the low frequencies of one image and the high frequencies of another (Oliva, Torralba and Schyns 2006;
Figure 6 of the paper). NumPy alone: both learning and the service make them.

An image is continued over its borders by its mirror image (… b a | a b … y z | z y …). Wrapping around would let each
border bleed into the opposite one. Filtering the cosine waves that a mirrored image is made of applies the exact gain,
where a kernel in pixels would have to be cut off, and is too narrow to be sampled at all for cutoffs near the finest
frequency.
"""

import math

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
# Of sums near 100, far above the last digits of float64, in which processors may differ.
_DECIMALS = 9


def hybrid(low: Pixels, high: Pixels, low_cutoff: float, high_cutoff: float) -> Pixels:
    """low's low frequencies plus what the low-pass filter takes from `high`, as uint8 [..., h, w, 3].

    The sum is rounded (halves to even) and saturated to 0 … 255. Its mean colour is low's, unless values saturate. An
    image with itself, at equal cutoffs, is that image.

    Args:
        low, high: uint8 [..., h, w, 3], 0 … 255; one image or many.
        low_cutoff, high_cutoff: in cycles an image, counted along its shorter side: where the low-pass filter of `low`
            and the high-pass filter of `high` halve an amplitude. Above 0, finite. Far above half the shorter side's
            pixels, the finest frequency there is, `low` stays as it is and nothing stays of `high`.

    Raises:
        ValueError: shapes that differ or hold no RGB images, or a cutoff out of bounds.
    """
    if low.shape != high.shape or low.ndim < 3 or low.shape[-1] != 3:
        raise ValueError(f"two arrays [..., h, w, 3] of one shape are needed, not {low.shape} and {high.shape}")
    for name, cutoff in (("low_cutoff", low_cutoff), ("high_cutoff", high_cutoff)):
        if not (math.isfinite(cutoff) and cutoff > 0):
            raise ValueError(f"{name} is {cutoff:g}; a finite number above 0 is needed")
    mixed = low_pass(low, low_cutoff) + (high - low_pass(high, high_cutoff))
    # Two steps, so that a half which came out a hair too small or too large is rounded as a half on every machine.
    return np.clip(np.rint(np.round(mixed, _DECIMALS)), 0, 255).astype(np.uint8)


def low_pass(images: Pixels, cutoff: float) -> npt.NDArray[np.float64]:
    """Images [..., h, w, 3] with frequency f weakened by exp(−ln 2 · (f / cutoff)²); the same in all directions.

    `cutoff` and f are in cycles along the shorter side. In pixels it is a Gaussian with a standard deviation of
    √(ln 2 / 2) / π · shorter side / cutoff.
    """
    height, width = images.shape[-3:-1]
    shorter = min(height, width)
    # A gain that is Gaussian in all directions is the product of those along rows and columns.
    down, across = (_filter_matrix(side, cutoff * side / shorter) for side in (height, width))
    # One large product each, which moves its axis to the end: [..., h, c, w], then [..., c, w, h].
    rows_filtered = np.tensordot(images.astype(np.float64), across, axes=(-2, 0))
    filtered: npt.NDArray[np.float64] = np.tensordot(rows_filtered, down, axes=(-3, 0))
    return np.swapaxes(filtered, -1, -3)


def _filter_matrix(side: int, cutoff: float) -> npt.NDArray[np.float64]:
    """The low-pass filter of a mirrored line of `side` pixels as a matrix; symmetric. `cutoff` is in cycles along it."""
    half_cycles = np.arange(side)[:, np.newaxis]
    # The discrete cosine transform (DCT-II): wave k has k / 2 cycles, and its slope is 0 at both borders.
    waves = np.cos(np.pi * half_cycles * (np.arange(side) + 0.5) / side) * np.sqrt(np.where(half_cycles, 2, 1) / side)
    # Frequencies over a tiny cutoff may overflow to infinity, whose gain is the 0 that is meant.
    with np.errstate(over="ignore"):
        gain = np.exp2(-((half_cycles / 2 / cutoff) ** 2))
    matrix: npt.NDArray[np.float64] = waves.T @ (gain * waves)
    return matrix
