"""What can be said of training images without a network: copies, and trouble with the pictures themselves."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from noisegate.data.alike import Places
from noisegate.data.copies import Copies, find_copies
from noisegate.data.labelled_copies import LabelledCopies
from noisegate.data.originals import Originals
from noisegate.inference.decoding import ImageLimits, decode_with_size, resize_pixels
from noisegate.spec.derived import Fitting
from noisegate.spec.reasons import Reason

# Pictures are looked at with this many pixels a side: what is blurred at that size is blurred to any eye.
_SIDE = 64
_FITTING = Fitting(decoding="scaled")
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
# Shares of white: the 99th of hundred pixels, and the 5th. Bits a pixel. Variance of edges in levels. Sides.
_DARK, _BRIGHT, _FEW_BITS, _SOFT_EDGES, _LONG = 0.32, 0.95, 3.0, 35.0, 3.0
# Where more of the images have it, it is what the data set is like, and no trouble.
_MOST_OF_THEM = 0.2

Columns = Mapping[str, npt.NDArray[Any]]
NOTHING = -1


def inspect_copies(
    images: npt.NDArray[np.uint8], labels: Places, train_count: int, progress: Callable[[float], None] = lambda _: None
) -> Columns:
    """For each training image another image that is the same picture, exactly or nearly, or −1.

    Args:
        images: uint8 [n, size, size, 3], training images first.
        progress: told which share is done; what it raises ends the search.

    Returns:
        `exact_copy_of` and `near_copy_of`, an earlier training image; `other_class_copy`, an image of another class; `test_copy`, a
        test image; both as places among all images. int64 [training images] each.
    """
    return _described(find_copies(images, progress), labels, train_count)


def _described(copies: Copies, labels: Places, train_count: int) -> Columns:
    names = ("exact_copy_of", "near_copy_of", "other_class_copy", "test_copy")
    found = {name: np.full(train_count, NOTHING, np.int64) for name in names}
    for group in LabelledCopies(copies, labels, train_count).groups():
        together = np.sort(group)
        trained, tests = together[together < train_count], together[together >= train_count]
        for place in trained:
            earlier = trained[trained < place]
            same = earlier[copies.picture[earlier] == copies.picture[place]]
            others = together[labels[together] != labels[place]]
            kind = "exact_copy_of" if len(same) else "near_copy_of"
            for name, those in (
                (kind, same if len(same) else earlier),
                ("other_class_copy", others),
                ("test_copy", tests),
            ):
                if len(those):
                    found[name][place] = those[0]
    return found


def inspect_pictures(
    packed: npt.NDArray[np.uint8], originals: Originals | None, limits: ImageLimits, check: Callable[[int], None]
) -> Columns:
    """Brightness, information, sharpness and shape of the first images of a data set, float32 each.

    Args:
        packed: uint8 [n, size, size, 3]; looked at where there are no originals.
        check: told how many are done; what it raises ends the work.

    Returns:
        `darkest`, `brightest`: the 5th and the 99th of hundred luminances, 0 … 1; `bits`: entropy of the luminances, 0 … 8;
        `sharpness`: variance of the edges, NaN of images below 64 pixels; `aspect`: the longer side over the shorter, NaN without
        originals.
    """
    found = np.full((5, len(packed)), np.nan, np.float32)
    for place in range(len(packed)):
        if originals is None:
            pixels, size = resize_pixels(packed[place], _SIDE), (packed.shape[1],) * 2
        else:
            pixels, size = decode_with_size(originals.read(place), _SIDE, limits, _FITTING)
        found[:, place] = _measured(pixels, size)
        if originals is None:
            found[4, place] = np.nan
        check(place + 1)
    return dict(zip(("darkest", "brightest", "bits", "sharpness", "aspect"), found, strict=True))


def _measured(pixels: npt.NDArray[np.uint8], size: tuple[int, ...]) -> tuple[float, ...]:
    luminance = np.rint(pixels @ _LUMINANCE).astype(np.uint8)
    darkest, brightest = np.quantile(luminance, [0.05, 0.99]) / 255
    shares = np.bincount(luminance.ravel(), minlength=256) / luminance.size
    bits = -float((shares[shares > 0] * np.log2(shares[shares > 0])).sum())
    # The frame of the filter is the picture's own border, and no edge.
    edges = np.asarray(Image.fromarray(luminance).filter(ImageFilter.FIND_EDGES), np.float32)[1:-1, 1:-1]
    sharpness = float(edges.var()) if min(size) >= _SIDE else np.nan
    return float(darkest), float(brightest), bits, sharpness, max(size) / min(size)


def trouble(columns: Columns) -> dict[Reason, npt.NDArray[np.bool_]]:
    """Which images have which trouble, by what `inspect_pictures` found."""
    with np.errstate(invalid="ignore"):
        found: dict[Reason, npt.NDArray[np.bool_]] = {
            "dark": columns["brightest"] < _DARK,
            "bright": columns["darkest"] > _BRIGHT,
            "blurry": columns["sharpness"] < _SOFT_EDGES,
            "low_information": columns["bits"] < _FEW_BITS,
            "odd_aspect": columns["aspect"] > _LONG,
        }
    return {name: flags if flags.mean() <= _MOST_OF_THEM else np.zeros_like(flags) for name, flags in found.items()}
