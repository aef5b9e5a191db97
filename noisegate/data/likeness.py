"""When two pictures are one picture: thumbnails, a short vector to find candidates by, and the comparison that decides.

A thumbnail is the luminance at 24×24, each level the mean of an area, so sizes and detail beyond it do not count. Candidates are
found by the directions of its low spatial frequencies. They are compared after local contrast normalisation (each level minus the
mean around it, over the deviation around it), so that neither a frame nor a horizon outweighs all else; once over the whole and
once over the middle, of which the worse counts. Letters in shapes: n images, s pixels a side, p pairs.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

SIDE = 24
Floats = npt.NDArray[np.float32]
Thumbnails = npt.NDArray[np.uint8]

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_FREQUENCIES = 6
# Two deviations of the Gaussian that averages the surroundings, in pixels of the thumbnail.
_SURROUNDINGS = 2.0
# Levels below which a deviation is taken for noise and not raised.
_NOISE_LEVELS = 8.0
_MIDDLE = slice(4, 20)
# A crop by a tenth of the sides; a 27th of the side to each side.
_ZOOMS = (0.9, 0.95, 1 / 0.95, 1 / 0.9)
_SHIFTS = (-0.9, -0.45, 0.0, 0.45, 0.9)


@dataclass(frozen=True)
class Directions:
    """Unit vectors of the low frequencies, [n, 17] and [n, 18]: those that a mirror leaves and those whose sign it turns.

    The cosine of two pictures is even · even + odd · odd, that of one with the other's mirror image even · even − odd · odd.
    """

    even: Floats
    odd: Floats


def thumbnails(images: npt.NDArray[np.uint8]) -> Thumbnails:
    """Uint8 [n, 24, 24] of images uint8 [n, s, s, 3]."""
    averaging = _averaging(images.shape[1])
    luminance = images.astype(np.float32) @ _LUMINANCE
    return np.rint(averaging @ luminance @ averaging.T).astype(np.uint8)


def contrasts(thumbs: Thumbnails) -> Floats:
    """The deviation of each thumbnail's levels, [n]."""
    deviations: Floats = thumbs.reshape(len(thumbs), SIDE**2).std(axis=1, dtype=np.float32)
    return deviations


def directions(thumbs: Thumbnails) -> Directions:
    """Of each thumbnail, whatever its brightness and contrast; zero for one of a single level."""
    cosines = _cosines()
    waves = cosines @ thumbs.astype(np.float32) @ cosines.T
    # Amplitudes of photographs fall with the frequency: evened out halfway, so that the coarsest do not decide alone.
    row, column = np.mgrid[:_FREQUENCIES, :_FREQUENCIES]
    waves = (waves * np.sqrt(np.hypot(row, column))).astype(np.float32).reshape(len(thumbs), row.size)
    lengths = np.linalg.norm(waves, axis=1, keepdims=True)
    waves /= np.maximum(lengths, np.finfo(np.float32).tiny)
    turned = column.ravel() % 2 == 1
    return Directions(np.ascontiguousarray(waves[:, ~turned]), np.ascontiguousarray(waves[:, turned]))


def likeness(left: Thumbnails, right: Thumbnails) -> Floats:
    """How alike the pictures are that lie one over the other, [p]: −1 to 1, 1 for the same but for brightness and contrast."""
    return _compare(_normalise(left), _normalise(right))


def likeness_when_moved(left: Thumbnails, right: Thumbnails, worth: float = -1) -> Floats:
    """As `likeness`, at the best of 25 small shifts of `left`; where that is at least `worth`, of 125 shifts and zooms."""
    moving, fixed = _normalise(left), _normalise(right)
    best = _when_shifted(moving, fixed, 1)
    promising = np.flatnonzero(best >= worth)
    moving, fixed = moving[promising], fixed[promising]
    for zoom in _ZOOMS:
        best[promising] = np.maximum(best[promising], _when_shifted(moving, fixed, zoom))
    return best


def _when_shifted(moving: Floats, fixed: Floats, zoom: float) -> Floats:
    best = np.full(len(moving), -1, np.float32)
    moves = [_moving(zoom, shift) for shift in _SHIFTS]
    for vertical in moves:
        raised = vertical @ moving
        for horizontal in moves:
            np.maximum(best, _compare(np.matmul(raised, horizontal.T, dtype=np.float32), fixed), out=best)
    return best


def _compare(left: Floats, right: Floats) -> Floats:
    return np.minimum(_correlation(left, right), _correlation(left[:, _MIDDLE, _MIDDLE], right[:, _MIDDLE, _MIDDLE]))


def _correlation(left: Floats, right: Floats) -> Floats:
    products = np.einsum("pij,pij->p", left, right)
    squares = np.einsum("pij,pij->p", left, left) * np.einsum("pij,pij->p", right, right)
    correlation: Floats = products / np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    return correlation


def _normalise(thumbs: Thumbnails) -> Floats:
    levels, around = thumbs.astype(np.float32), _around()
    centred = levels - around @ levels @ around.T
    variance = around @ (centred * centred) @ around.T
    normalised: Floats = np.divide(centred, np.sqrt(variance + np.float32(_NOISE_LEVELS**2)), dtype=np.float32)
    return normalised


def _averaging(size: int) -> Floats:
    """[24, size]: the mean of each 24th of a line; a pixel on a border counts for its parts."""
    edges = np.linspace(0, size, SIDE + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    averaging: Floats = np.maximum(overlap, 0).astype(np.float32) * np.float32(SIDE / size)
    return averaging


def _cosines() -> Floats:
    """[6, 24]: the cosine transform of a line, its low frequencies; the sum of all levels has no direction."""
    return np.ascontiguousarray(scipy.fft.dct(np.eye(SIDE), axis=0, norm="ortho")[:_FREQUENCIES], dtype=np.float32)


def _around() -> Floats:
    """[24, 24]: the Gaussian mean around each pixel of a line, within the picture."""
    places = np.arange(SIDE)
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * _SURROUNDINGS**2))
    averaging: Floats = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return averaging


def _moving(zoom: float, shift: float) -> Floats:
    """[24, 24]: a line read at other places, between pixels in proportion; beyond the picture its border goes on."""
    middle = (SIDE - 1) / 2
    places = np.clip((np.arange(SIDE) - middle) * zoom + middle + shift, 0, SIDE - 1)
    before = np.minimum(places.astype(int), SIDE - 2)
    weights: Floats = np.zeros((SIDE, SIDE), np.float32)
    weights[np.arange(SIDE), before] = before + 1 - places
    weights[np.arange(SIDE), before + 1] = places - before
    return weights
