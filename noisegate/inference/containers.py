"""What lies around the pixels of an image file: the metadata is cut away, the orientation kept. PNG, JPEG and WEBP here.

Pillow parses metadata while it opens a file and answers damage there with Python warnings, which one thread cannot
silence for itself alone: `warnings.catch_warnings` acts on the whole process. What it never sees it cannot warn about,
and no compressed text or colour profile is unpacked either. Colour profiles are therefore not applied: pixel values
count as sRGB, in training and in serving.

The other kinds have modules of their own; for AVIF, JPEG 2000 and TIFF they also bound what a head can make a decoder set
aside, which libraries learn no sooner than that they do it.
"""

import re
import struct
import zlib
from collections.abc import Callable

from noisegate.inference.avif import is_avif, unwrap_avif
from noisegate.inference.bmp import unwrap_bmp
from noisegate.inference.gif import unwrap_gif
from noisegate.inference.jpeg2000 import CODESTREAM_SIGNATURE, JP2_SIGNATURE, unwrap_codestream, unwrap_jp2
from noisegate.inference.parts import (
    EXIF_PREFIX,
    Container,
    animated,
    checked,
    damaged,
    read_orientation,
    refuse,
    truncated,
)
from noisegate.inference.strangers import stranger
from noisegate.inference.tiff import TIFF_SIGNATURES, unwrap_tiff

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
# APP0 (JFIF) and APP14 (Adobe) say how colours are coded; the other application segments are metadata.
_JPEG_METADATA = {*range(0xE1, 0xEE), 0xEF, 0xFE}


def unwrap(data: bytes) -> Container:
    """Recognise an image by its first bytes, whatever its name, and cut its metadata away.

    Raises:
        InvalidImage: none of the kinds that are read; animated, as far as the kind's reader sees it; damaged or cut short; of
            too many parts, or a JPEG of too many scans; of a variant that is not read.
    """
    reader = _reader_of(data)
    if reader is None:
        raise stranger(data)
    return reader(data)


def _reader_of(data: bytes) -> Callable[[bytes], Container] | None:
    for signature, reader in _BY_SIGNATURE:
        if data.startswith(signature):
            return reader
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _unwrap_webp
    return unwrap_avif if is_avif(data) else None


def bare_jpeg(data: bytes) -> Container | None:
    """A JPEG that says nothing of its orientation, as it is: for a decoder that reads no metadata. None for all else.

    Finding that out takes a tenth of the time that cutting metadata away does.
    """
    if not data.startswith(_JPEG_SIGNATURE) or EXIF_PREFIX in data or _scans(data) > _MOST_SCANS:
        return None
    return Container("JPEG", data, 1)


def _scans(data: bytes, start: int = 0) -> int:
    return data.count(bytes([0xFF, _JPEG_START_OF_SCAN]), start)


def _unwrap_png(data: bytes) -> Container:
    kept, exif = [PNG_SIGNATURE], b""
    at, name, parts = len(PNG_SIGNATURE), b"", 0
    while name != b"IEND":
        parts = checked(parts + 1)
        if at + 12 > len(data):
            raise truncated()
        length, name = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + length]
        if len(chunk) < 12 + length:
            raise truncated()
        content = chunk[8:-4]
        if name in _PNG_KEPT:
            # Pillow checks the sums of headers, not those of pixel data.
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
                raise damaged("a checksum does not match")
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
        at, parts = found.start(), checked(parts + 1)
        marker = data[at + 1]
        if marker == _JPEG_START_OF_SCAN:
            break
        end = at + 2 if marker in _JPEG_STANDALONE else at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at:end]
        if marker not in _JPEG_METADATA:
            kept.append(segment)
        elif segment[4:].startswith(EXIF_PREFIX) and not exif:
            exif = segment[4:]
        at = end
    if _scans(data, at) > _MOST_SCANS:
        raise refuse(f"has more than {_MOST_SCANS} scans", "Save it anew, as a baseline JPEG.")
    return Container("JPEG", b"".join([*kept, data[at:]]), read_orientation(exif))


def _unwrap_webp(data: bytes) -> Container:
    if 8 + int.from_bytes(data[4:8], "little") > len(data):
        raise truncated()
    exif = b""
    at, parts = 12, 0
    while at + 8 <= len(data):
        parts = checked(parts + 1)
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            exif = data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
    # Pillow does not parse a WEBP's metadata unless asked, so the file may keep it.
    return Container("WEBP", data, read_orientation(exif))


_BY_SIGNATURE: tuple[tuple[bytes | tuple[bytes, ...], Callable[[bytes], Container]], ...] = (
    (PNG_SIGNATURE, _unwrap_png),
    (_JPEG_SIGNATURE, _unwrap_jpeg),
    ((b"GIF87a", b"GIF89a"), unwrap_gif),
    (b"BM", unwrap_bmp),
    (TIFF_SIGNATURES, unwrap_tiff),
    (JP2_SIGNATURE, unwrap_jp2),
    (CODESTREAM_SIGNATURE, unwrap_codestream),
)
