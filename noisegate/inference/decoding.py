"""Image files to pixels: the one way in, for training and for serving, so that both see the same values.

PNG, JPEG and WEBP only. What every file becomes, in this order:

- turned upright by its EXIF orientation;
- 16-bit gray divided by 257 and rounded (65,535 becomes 255); 16-bit colour loses its low byte, as Pillow reads it;
- palette, gray, CMYK and YCCK converted to RGB, without colour profiles;
- transparency composited over white;
- made a square by antialiased bilinear filtering, if it has another size: stretched; or cropped, its shorter side becoming the
  square's and its middle cut out; or padded, its longer side becoming the square's, in the middle of gray of level 128.

Nothing global is changed by a call, so any number of threads may decode at once.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from noisegate.errors import TooLarge
from noisegate.inference import fast_jpeg
from noisegate.inference.containers import Container, Kind, animated, bare_jpeg, refuse, unwrap
from noisegate.spec.derived import Resize

# The classes themselves rather than Image.open, which warns about large images before their size can be checked,
# and which turns a JPEG with a second picture (MPO, as telephones write it) into an animated image.
_READERS: dict[Kind, type[ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}

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
_PADDING = (128, 128, 128)
# Orientations in which width and height are those of the file.
_STILL_LYING = (1, 2, 3, 4)


@dataclass(frozen=True)
class ImageLimits:
    """The largest image file read: its size in bytes, and width times height, checked before any pixel is decoded."""

    max_bytes: int = 10 * 2**20
    max_pixels: int = 50_000_000


@dataclass(frozen=True)
class OpenedImage:
    """An image file of which the header is read and no pixel is decoded. `width` and `height` are the upright ones."""

    container: Container
    lazy: Image.Image | None
    width: int
    height: int
    limits: ImageLimits

    def pixels(self, image_size: int, resize: Resize = "stretch") -> npt.NDArray[np.uint8]:
        """The pixels as uint8 RGB of shape (image_size, image_size, 3).

        Raises:
            InvalidImage: animated, damaged or cut short.
            TooLarge: more pixels than the limits allow.
        """
        if self.lazy is None:
            quick = fast_jpeg.decode(self.container.data)
            if quick is not None:
                if quick.shape[:2] == (image_size, image_size) and self.container.orientation == 1:
                    return quick
                return _resized(_upright(Image.fromarray(quick), self.container.orientation), image_size, resize)
        with _failures_told(self.limits):
            image = self.lazy or _header(unwrap(self.container.data), self.limits)
            image.load()
            return _resized(_upright(_to_rgb(image), self.container.orientation), image_size, resize)


def open_image(data: bytes, limits: ImageLimits) -> OpenedImage:
    """Read an image file's header. The time it takes follows from the size of the file, not from that of the image.

    Raises:
        InvalidImage: not a PNG, JPEG or WEBP; animated, damaged or cut short, as far as the header tells.
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
        return _opened(container, None, quick_size, limits)
    container = unwrap(data)
    with _failures_told(limits):
        image = _header(container, limits)
        return _opened(container, image, image.size, limits)


def decode_image(
    data: bytes, image_size: int, limits: ImageLimits, resize: Resize = "stretch"
) -> npt.NDArray[np.uint8]:
    """The pixels of an image file, as uint8 RGB of shape (image_size, image_size, 3).

    Raises:
        InvalidImage: not a PNG, JPEG or WEBP; animated, damaged or cut short.
        TooLarge: more bytes or more pixels than `limits` allow.
    """
    return open_image(data, limits).pixels(image_size, resize)


def decode_with_size(
    data: bytes, image_size: int, limits: ImageLimits, resize: Resize = "stretch"
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """The same, and the file's own (width, height), upright; raises as `decode_image`."""
    opened = open_image(data, limits)
    return opened.pixels(image_size, resize), (opened.width, opened.height)


def resize_pixels(pixels: npt.NDArray[np.uint8], image_size: int) -> npt.NDArray[np.uint8]:
    """Pixels (height, width, 3) stretched to the size (image_size, image_size, 3), exactly as `decode_image` stretches."""
    return _resized(Image.fromarray(pixels), image_size, "stretch")


def _opened(container: Container, lazy: Image.Image | None, size: tuple[int, int], limits: ImageLimits) -> OpenedImage:
    width, height = size if container.orientation in _STILL_LYING else size[::-1]
    return OpenedImage(container, lazy, width, height, limits)


def _header(container: Container, limits: ImageLimits) -> Image.Image:
    image = _READERS[container.kind](BytesIO(container.data))
    _check_pixels(image.size, limits)
    if getattr(image, "n_frames", 1) > 1:
        raise animated()
    return image


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
    if image.mode == "I;16":
        return Image.fromarray(_eight_bits(image)).convert("RGB")
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


def _resized(image: Image.Image, image_size: int, resize: Resize) -> npt.NDArray[np.uint8]:
    size = (image_size, image_size)
    fitted = image if image.size == size else _FITTING[resize](image, image_size)
    return np.array(fitted, dtype=np.uint8)


def _stretched(image: Image.Image, image_size: int) -> Image.Image:
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR)


def _cropped(image: Image.Image, image_size: int) -> Image.Image:
    """The middle, in one step: its corners may lie between pixels of the original, so nothing is off the centre."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR, box=box)


def _padded(image: Image.Image, image_size: int) -> Image.Image:
    width, height = image.size
    share = image_size / max(width, height)
    inner = max(1, round(width * share)), max(1, round(height * share))
    square = Image.new("RGB", (image_size, image_size), _PADDING)
    place = (image_size - inner[0]) // 2, (image_size - inner[1]) // 2
    square.paste(image.resize(inner, Image.Resampling.BILINEAR), place)
    return square


_FITTING: dict[Resize, Callable[[Image.Image, int], Image.Image]] = {
    "stretch": _stretched,
    "crop": _cropped,
    "pad": _padded,
}
