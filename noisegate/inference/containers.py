"""What lies around the pixels of a PNG, JPEG or WEBP file: the metadata is cut away, the orientation kept.

Pillow parses metadata while it opens a file and answers damage there with Python warnings, which one thread cannot
silence for itself alone: `warnings.catch_warnings` acts on the whole process. What it never sees it cannot warn about,
and no compressed text or colour profile is unpacked either. Colour profiles are therefore not applied: pixel values
count as sRGB, in training and in serving.
"""

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from noisegate.errors import InvalidImage

Kind = Literal["PNG", "JPEG", "WEBP"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
# What is between segments is skipped, as every decoder does: other bytes, fill bytes, escaped ones.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")
_JPEG_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_JPEG_START_OF_SCAN = 0xDA
# A scan of some 80 bytes makes a decoder go over all pixels, and a file can hold a hundred thousand. Encoders write about ten;
# libjpeg's allow a hundred.
_MOST_SCANS = 100
# Chunks of a PNG or WEBP, segments of a JPEG. Encoders write some hundreds; millions of empty ones would take many seconds.
_MOST_PARTS = 20_000
# APP0 (JFIF) and APP14 (Adobe) say how colours are coded; the other application segments are metadata.
_JPEG_METADATA = {*range(0xE1, 0xEE), 0xEF, 0xFE}
_EXIF_PREFIX = b"Exif\x00\x00"
_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Container:
    """An image file without its metadata, and how to turn it upright (EXIF orientation, 1 … 8)."""

    kind: Kind
    data: bytes
    orientation: int


def refuse(detail: str, remedy: str) -> InvalidImage:
    """The error for an image that cannot be read: what is wrong with it, and what to do."""
    return InvalidImage(f"the image {detail}", field="image", remedy=remedy)


def animated() -> InvalidImage:
    return refuse("is animated; which of its frames is meant is not clear", "Send one frame as an image of its own.")


def _checked(parts: int) -> int:
    """The same number of parts; raises InvalidImage if there are too many."""
    if parts > _MOST_PARTS:
        raise refuse(f"has more than {_MOST_PARTS:,} chunks or segments", "Write it anew with another program.")
    return parts


def _truncated() -> InvalidImage:
    return refuse("is cut short: its end is missing", "Send the whole file.")


def unwrap(data: bytes) -> Container:
    """Recognise an image by its first bytes, whatever its name, and cut its metadata away.

    Raises:
        InvalidImage: neither PNG, JPEG nor WEBP; an animated PNG; a PNG or WEBP that is damaged or cut short; of too many
            parts, or a JPEG of too many scans.
    """
    if data.startswith(PNG_SIGNATURE):
        return _unwrap_png(data)
    if data.startswith(_JPEG_SIGNATURE):
        return _unwrap_jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _unwrap_webp(data)
    raise refuse("is not a PNG, JPEG or WEBP image", "Convert it to PNG, JPEG or WEBP; renaming it is not enough.")


def bare_jpeg(data: bytes) -> Container | None:
    """A JPEG that says nothing of its orientation, as it is: for a decoder that reads no metadata. None for all else.

    Finding that out takes a tenth of the time that cutting metadata away does.
    """
    if not data.startswith(_JPEG_SIGNATURE) or _EXIF_PREFIX in data or _scans(data) > _MOST_SCANS:
        return None
    return Container("JPEG", data, 1)


def _scans(data: bytes, start: int = 0) -> int:
    return data.count(bytes([0xFF, _JPEG_START_OF_SCAN]), start)


def _unwrap_png(data: bytes) -> Container:
    kept, exif = [PNG_SIGNATURE], b""
    at, name, parts = len(PNG_SIGNATURE), b"", 0
    while name != b"IEND":
        parts = _checked(parts + 1)
        if at + 12 > len(data):
            raise _truncated()
        length, name = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + length]
        if len(chunk) < 12 + length:
            raise _truncated()
        content = chunk[8:-4]
        if name in _PNG_KEPT:
            # Pillow checks the sums of headers, not those of pixel data.
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
                raise refuse("is damaged: a checksum does not match", "Send an intact copy.")
            kept.append(chunk)
        elif name == b"acTL" and int.from_bytes(content[:4], "big") > 1:
            raise animated()
        elif name == b"eXIf":
            exif = content
        at += len(chunk)
    return Container("PNG", b"".join(kept), read_orientation(exif))


def _unwrap_jpeg(data: bytes) -> Container:
    kept, exif = [data[:2]], b""
    at, parts = 2, 0
    while (found := _JPEG_MARKER.search(data, at)) and found.start() + 4 <= len(data):
        at, parts = found.start(), _checked(parts + 1)
        marker = data[at + 1]
        if marker == _JPEG_START_OF_SCAN:
            break
        end = at + 2 if marker in _JPEG_STANDALONE else at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at:end]
        if marker not in _JPEG_METADATA:
            kept.append(segment)
        elif segment[4:].startswith(_EXIF_PREFIX) and not exif:
            exif = segment[4:]
        at = end
    if _scans(data, at) > _MOST_SCANS:
        raise refuse(f"has more than {_MOST_SCANS} scans", "Save it anew, as a baseline JPEG.")
    return Container("JPEG", b"".join([*kept, data[at:]]), read_orientation(exif))


def _unwrap_webp(data: bytes) -> Container:
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise _truncated()
    exif = b""
    at, parts = 12, 0
    while at + 8 <= len(data):
        parts = _checked(parts + 1)
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            exif = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    # Pillow does not parse a WEBP's metadata unless asked, so the file may keep it.
    return Container("WEBP", data, read_orientation(exif))


def read_orientation(exif: bytes) -> int:
    """The orientation (1 … 8) that an EXIF block gives; 1, upright, if it gives none or is damaged.

    A damaged block is no reason to refuse an image: its pixels are whole.
    """
    tiff = exif.removeprefix(_EXIF_PREFIX)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
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
