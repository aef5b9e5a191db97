"""What the readers of all image formats share: what they return, how they refuse, and how many parts they go over."""

import struct
from typing import Literal, NamedTuple

from noisegate.errors import InvalidImage

Kind = Literal["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG 2000"]

EXIF_PREFIX = b"Exif\x00\x00"
_EXIF_ORIENTATION = 0x0112
# Chunks of a PNG or WEBP, segments of a JPEG, strips of a TIFF. Encoders write some hundreds; millions of empty ones would take
# many seconds.
_MOST_PARTS = 20_000
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}


class Container(NamedTuple):
    """An image file without its metadata, and how to turn it upright (EXIF orientation, 1 … 8).

    `decoded_pixels` is how many pixels decoding makes, where the decoder makes others than its header tells; 0 elsewhere.
    """

    kind: Kind
    data: bytes
    orientation: int
    decoded_pixels: int = 0


def refuse(detail: str, remedy: str) -> InvalidImage:
    """The error for an image that cannot be read: what is wrong with it, and what to do."""
    return InvalidImage(f"the image {detail}", field="image", remedy=remedy)


def animated() -> InvalidImage:
    return refuse("is animated; which of its frames is meant is not clear", "Send one frame as an image of its own.")


def truncated() -> InvalidImage:
    return refuse("is cut short: its end is missing", "Send the whole file.")


def damaged(what: str) -> InvalidImage:
    return refuse(f"is damaged: {what}", "Send an intact copy.")


def checked(parts: int, most: int = _MOST_PARTS) -> int:
    """The same number of parts; raises InvalidImage if there are too many."""
    if parts > most:
        raise refuse(f"has more than {most:,} chunks or segments", "Write it anew with another program.")
    return parts


def read_orientation(exif: bytes) -> int:
    """The orientation (1 … 8) that an EXIF block gives; 1, upright, if it gives none or is damaged.

    A damaged block is no reason to refuse an image: its pixels are whole.
    """
    tiff = exif.removeprefix(EXIF_PREFIX)
    order = _BYTE_ORDERS.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, value = struct.unpack_from(f"{order}H6xH", tiff, entry)
            if tag == _EXIF_ORIENTATION:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
