"""Image files to pixels: the one way in, for training and for serving, so that both see the same values.

PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF and JPEG 2000, of one picture each. What every file becomes, in this order:

- turned upright by its EXIF orientation, a TIFF by its own tag, an AVIF by its own boxes; GIF, BMP and JPEG 2000 have none;
- 16-bit gray divided by 257 and rounded (65,535 becomes 255); 16-bit colour loses its low byte, as Pillow reads it;
- palette, gray, CMYK, YCbCr and YCCK converted to RGB, without colour profiles;
- transparency composited over white;
- made a square by antialiased bilinear or bicubic filtering, if it has another size: stretched; or cropped, its shorter side
  becoming the square's and its middle cut out; or padded, its longer side becoming the square's, in the middle of gray of level
  128. A crop share below 1 takes that much of the sides about the middle.

A JPEG is decoded at its own size; or, where `decoding` is scaled and it is large enough, at a half or a quarter of it.

Nothing global is changed by a call, so any number of threads may decode at once.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)
from PIL.ImageFile import ImageFile

from noisegate.errors import TooLarge
from noisegate.inference import fast_jpeg
from noisegate.inference.containers import bare_jpeg, unwrap
from noisegate.inference.fitting import resized, scale_factor
from noisegate.inference.parts import Container, Kind, animated, refuse
from noisegate.spec.derived import Fitting

# The classes themselves rather than Image.open, which warns about large images before their size can be checked,
# and which turns a JPEG with a second picture (MPO, as telephones write it) into an animated image.
_READERS: dict[Kind, type[ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG 2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
# Kinds for which Pillow may have been built without the library; most distributors build it with all.
_LIBRARIES: dict[Kind, str] = {"WEBP": "webp", "TIFF": "libtiff", "AVIF": "avif", "JPEG 2000": "jpg_2000"}
_MISSING = {kind for kind, library in _LIBRARIES.items() if not features.check(library)}
# The others' readers have seen to it that there is one frame; counting them again would take time.
_FRAMES_COUNTED = {"PNG", "JPEG", "WEBP", "AVIF"}

# What Pillow and the libraries below it raise on hostile bytes, as found by reading and by feeding it damaged files.
_PILLOW_FAILURES = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# As much as a JPEG can have. Shrinking a PNG of 1 × 50 million would take 1.6 GB: resizing keeps as many weights as a side has
# pixels.
_MOST_SIDE = 65_535
# JPEG 2000 holds the whole process up while it is decoded, as Pillow reads it through Python: 0.4 s of it for 12 million pixels.
_JPEG_2000_SHARE = 4
# An AVIF's colours and its transparency are decoded as two pictures.
_AVIF_SHARE = 2
# From here on Pillow warns of GIFs and TIFFs.
_PILLOW_WARNS = 89_000_000
_ORIENTATION_TAG = 0x0112
# Orientations in which width and height are those of the file.
_STILL_LYING = (1, 2, 3, 4)


# How images become squares unless it is said otherwise.
PLAIN = Fitting()


@dataclass(frozen=True)
class ImageLimits:
    """The largest image file read: its size in bytes, and width times height, checked before any pixel is decoded."""

    max_bytes: int = 10 * 2**20
    max_pixels: int = 50_000_000


class OpenedImage(NamedTuple):
    """An image file of which the header is read and no pixel is decoded. `width` and `height` are the upright ones."""

    container: Container
    lazy: Image.Image | None
    width: int
    height: int
    limits: ImageLimits

    def pixels(self, image_size: int, fitting: Fitting = PLAIN) -> npt.NDArray[np.uint8]:
        """The pixels as uint8 RGB of shape (image_size, image_size, 3).

        Raises:
            InvalidImage: animated, damaged or cut short.
            TooLarge: more pixels than the limits allow.
        """
        factor = self._factor(image_size, fitting)
        if self.lazy is None:
            quick = fast_jpeg.decode(self.container.data, factor)
            if quick is not None:
                as_it_is = quick.shape[:2] == (image_size, image_size) and fitting.crop_share == 1
                if as_it_is and self.container.orientation == 1:
                    return quick
                return resized(_upright(Image.fromarray(quick), self.container.orientation), image_size, fitting)
        with _failures_told(self.limits):
            image = self._loaded(factor)
            return resized(_upright(_to_rgb(image), _orientation(self.container, image)), image_size, fitting)

    def _factor(self, image_size: int, fitting: Fitting) -> int:
        is_jpeg = self.container.kind == "JPEG"
        return scale_factor(self.width, self.height, image_size, fitting) if is_jpeg else 1

    def _loaded(self, factor: int) -> Image.Image:
        """Decoded, its sides divided by the factor and rounded up."""
        if factor == 1:
            image = self.lazy or _header(unwrap(self.container.data), self.limits)
        else:
            # Opened once more: what was decoded already could not be scaled.
            image = _header(unwrap(self.container.data), self.limits)
            image.draft(None, (image.width // factor, image.height // factor))
        image.load()
        return image


def open_image(data: bytes, limits: ImageLimits) -> OpenedImage:
    """Read an image file's header. The time it takes follows from the size of the file, not from that of the image.

    Raises:
        InvalidImage: of no kind that is read; animated, damaged or cut short, as far as the header tells.
        TooLarge: more bytes or more pixels than `limits` allow.
    """
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"the image has {len(data):,} bytes; at most {limits.max_bytes:,} are read",
            field="image",
            remedy="Send a smaller or more strongly compressed image.",
        )
    container = bare_jpeg(data) or unwrap(data)
    quick_size = fast_jpeg.size_of(container.data) if container.kind == "JPEG" else None
    if quick_size is not None:
        _check_pixels(quick_size, limits)
        return _opened(container, None, quick_size, container.orientation, limits)
    container = unwrap(data)
    with _failures_told(limits):
        image = _header(container, limits)
        return _opened(container, image, image.size, _orientation(container, image), limits)


def decode_image(data: bytes, image_size: int, limits: ImageLimits, fitting: Fitting = PLAIN) -> npt.NDArray[np.uint8]:
    """The pixels of an image file, as uint8 RGB of shape (image_size, image_size, 3).

    Raises:
        InvalidImage: of no kind that is read; animated, damaged or cut short.
        TooLarge: more bytes or more pixels than `limits` allow.
    """
    return open_image(data, limits).pixels(image_size, fitting)


def decode_with_size(
    data: bytes, image_size: int, limits: ImageLimits, fitting: Fitting = PLAIN
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """The same, and the file's own (width, height), upright; raises as `decode_image`."""
    opened = open_image(data, limits)
    return opened.pixels(image_size, fitting), (opened.width, opened.height)


def resize_pixels(pixels: npt.NDArray[np.uint8], image_size: int) -> npt.NDArray[np.uint8]:
    """Pixels (height, width, 3) stretched to the size (image_size, image_size, 3), exactly as `decode_image` stretches."""
    return resized(Image.fromarray(pixels), image_size, PLAIN)


def _opened(
    container: Container, lazy: Image.Image | None, size: tuple[int, int], orientation: int, limits: ImageLimits
) -> OpenedImage:
    width, height = size if orientation in _STILL_LYING else size[::-1]
    return OpenedImage(container, lazy, width, height, limits)


def _orientation(container: Container, image: Image.Image) -> int:
    """An AVIF's is known to Pillow, which writes EXIF of its own for it (and never turns the pixels)."""
    if container.kind == "AVIF":
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    return container.orientation


def _header(container: Container, limits: ImageLimits) -> Image.Image:
    kind, allowed = container.kind, _allowed(container.kind, limits)
    if kind in _MISSING:
        raise refuse(
            f"is of the kind {kind}, which this installation's Pillow was built without", "Convert it to PNG or JPEG."
        )
    if container.decoded_pixels > allowed.max_pixels * (_AVIF_SHARE if kind == "AVIF" else 1):
        raise _too_many_pixels(f"would be decoded to {container.decoded_pixels:,} pixels", allowed)
    image = _READERS[kind](BytesIO(container.data))
    _check_pixels(image.size, allowed)
    if kind in _FRAMES_COUNTED and getattr(image, "n_frames", 1) > 1:
        raise animated()
    return image


def _allowed(kind: Kind, limits: ImageLimits) -> ImageLimits:
    """The limits, lower for kinds that cost more a pixel."""
    if kind == "JPEG 2000":
        return replace(limits, max_pixels=limits.max_pixels // _JPEG_2000_SHARE)
    if kind in ("GIF", "TIFF"):
        return replace(limits, max_pixels=min(limits.max_pixels, _PILLOW_WARNS))
    return limits


def _check_pixels(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels or max(size) > _MOST_SIDE:
        raise _too_many_pixels(f"has {width:,} × {height:,} pixels", limits)


@contextmanager
def _failures_told(limits: ImageLimits) -> Iterator[None]:
    try:
        yield
    except Image.DecompressionBombError as error:
        raise _too_many_pixels("has too many pixels", limits) from error
    except _PILLOW_FAILURES as error:
        what = str(error) or "its structure makes no sense"
        raise refuse(f"is damaged or cut short: {what}", "Send an intact copy.") from error


def _too_many_pixels(what: str, limits: ImageLimits) -> TooLarge:
    detail = f"the image {what}; at most {limits.max_pixels:,} in all, and {_MOST_SIDE:,} a side, are decoded"
    return TooLarge(detail, field="image", remedy="Scale the image down first.")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if image.mode == "La":  # gray that is multiplied by its opacity already
        return _to_rgb(image.convert("LA"))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> npt.NDArray[np.uint8]:
    deep = np.asarray(image, dtype=np.uint16)
    # In 32 bits, as 65,535 + 128 is past 16; adding half a step rounds.
    gray = ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
    # A PNG may call one gray level transparent, which over white is white.
    if "transparency" in image.info:
        gray[deep == image.info["transparency"]] = 255
    return gray


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
