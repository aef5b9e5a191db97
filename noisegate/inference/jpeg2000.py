"""JPEG 2000, in a JP2 file or bare: its heads read here, as they alone make the decoder set memory aside.

A head of a hundred bytes can announce 65,535 tiles, precincts of a pixel and 65,535 layers; and the box around it another size
than the picture within. Comments, colour profiles and indexes are cut away. Every tile has to be there: the decoder would
leave a missing one black.
"""

import struct

from noisegate.inference.boxes import Box, boxes
from noisegate.inference.jpeg2000_head import Head, read_head
from noisegate.inference.parts import Container, checked, damaged, refuse, truncated

JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
CODESTREAM_SIGNATURE = b"\xff\x4f\xff\x51"
_START_OF_TILE, _START_OF_DATA, _END = 0xFF90, 0xFF93, 0xFFD9
_TILE_MARKERS = {0xFF58, 0xFF5C, 0xFF5D, 0xFF64}
# Of the head of one tile.
_MOST_SEGMENTS = 8
_HEADER_KEPT = {b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef"}
# CMYK, sRGB, gray, YCC; Lab and others would be taken for sRGB.
_COLOUR_SPACES = {12, 16, 17, 18}
_BY_NUMBER = 1


def unwrap_jp2(data: bytes) -> Container:
    """A JP2; raises InvalidImage if its box and codestream differ, and as `unwrap_codestream`."""
    found: dict[bytes, Box] = {}
    for box in boxes(data, 0, len(data)):
        found.setdefault(box.name, box)
    if not found.keys() >= {b"ftyp", b"jp2h", b"jp2c"}:
        raise damaged("there is no picture in it")
    header = _header(data, found[b"jp2h"])
    head, codestream = _codestream(data[found[b"jp2c"].content : found[b"jp2c"].end])
    if struct.unpack_from(">IIH", header[b"ihdr"], 8) != (head.height, head.width, head.components):
        raise damaged("the picture in it has another size than the file says")
    if b"pclr" in header and (head.components != 1 or head.bits != 8):
        raise refuse("is a JPEG 2000 with an unusual palette", "Save it as RGB, or as PNG.")
    kept = b"".join(header.values())
    parts = [
        JP2_SIGNATURE,
        data[found[b"ftyp"].start : found[b"ftyp"].end],
        _box(b"jp2h", kept),
        _box(b"jp2c", codestream),
    ]
    return Container("JPEG 2000", b"".join(parts), 1)


def unwrap_codestream(data: bytes) -> Container:
    """A bare codestream; raises InvalidImage for what is not read, too many parts, and if it is damaged or cut short."""
    return Container("JPEG 2000", _codestream(data)[1], 1)


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _header(data: bytes, around: Box) -> dict[bytes, bytes]:
    """The boxes that say what the numbers mean, the first of each name, in their order."""
    kept: dict[bytes, bytes] = {}
    for box in boxes(data, around.content, around.end):
        if box.name in _HEADER_KEPT:
            kept.setdefault(box.name, _box(box.name, data[box.content : box.end]))
    if len(kept.get(b"ihdr", b"")) != 8 + 14 or next(iter(kept)) != b"ihdr":
        raise damaged("it does not say how large it is")
    colour = kept.get(b"colr", b"")[8:]
    if colour[:1] == bytes([_BY_NUMBER]) and int.from_bytes(colour[3:7], "big") not in _COLOUR_SPACES:
        raise refuse("is a JPEG 2000 of unusual colours", "Save it as sRGB or gray.")
    if colour[:1] != bytes([_BY_NUMBER]):
        kept.pop(b"colr", None)
    return kept


def _codestream(data: bytes) -> tuple[Head, bytes]:
    if not data.startswith(CODESTREAM_SIGNATURE):
        raise damaged("there is no picture in it")
    head, kept, at = read_head(data)
    _check_tiles(data, at, head.tiles)
    return head, kept + data[at:]


def _check_tiles(data: bytes, at: int, tiles: int) -> None:
    """Goes from part to part up to the end of the picture; raises InvalidImage if one is missing or holds what is not read."""
    seen: set[int] = set()
    parts = 0
    while (marker := _marker(data, at)) != _END:
        parts = checked(parts + 1)
        if marker != _START_OF_TILE or at + 12 > len(data):
            raise damaged("there is something else where a tile should begin")
        tile, length = struct.unpack_from(">HI", data, at + 4)
        # The last part may leave its length open.
        end = at + length if length else data.rfind(b"\xff\xd9")
        _check_tile_head(data, at + 12, end)
        seen.add(tile)
        at = end
    if seen != set(range(tiles)):
        raise refuse("is cut short: tiles of it are missing", "Send the whole file.")


def _check_tile_head(data: bytes, at: int, end: int) -> None:
    segments = 0
    while (marker := _marker(data, at)) != _START_OF_DATA:
        segments = checked(segments + 1, _MOST_SEGMENTS)
        if marker not in _TILE_MARKERS:
            raise refuse("is a JPEG 2000 of which tiles are coded in different ways", "Save it anew, or as PNG.")
        at += 2 + _marker(data, at + 2)
    if at + 2 > end:
        raise damaged("a tile is shorter than its own head")


def _marker(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise truncated()
    return int.from_bytes(data[at : at + 2], "big")
