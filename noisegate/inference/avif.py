"""AVIF: its items found by their boxes, and how many pixels decoding them makes; EXIF and XMP are hidden from Pillow.

Pillow parses EXIF while it opens a file, and warns. The names of such items are overwritten, so that no place in the file
moves. The orientation is that of the boxes `irot` and `imir`, which Pillow reports and does not apply; as the format demands,
that of EXIF does not count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from noisegate.inference.av1 import decoded_pixels
from noisegate.inference.boxes import Box, boxes
from noisegate.inference.parts import Container, animated, checked, damaged, refuse, truncated

_CODED, _GRID = b"av01", b"grid"
_HIDDEN = b"skip"
# A decoder is set up for each. Cells of 512 × 512 for 50 million pixels are 191, and as many again for transparency.
_MOST_ITEMS = 500
_IN_FILE, _IN_BOX = 0, 1


class _Item(NamedTuple):
    """`named_at` is where in the file its type stands."""

    kind: bytes
    named_at: int


@dataclass
class _Reader:
    """Big-endian numbers, one after another, of one box."""

    data: bytes
    at: int
    end: int

    def number(self, size: int) -> int:
        if self.at + size > self.end:
            raise truncated()
        value = int.from_bytes(self.data[self.at : self.at + size], "big")
        self.at += size
        return value


def is_avif(data: bytes) -> bool:
    """Whether the brands of a file say so; those of HEIC and of videos do not."""
    if data[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[at : at + 4] for at in (8, *range(16, length, 4))}
    return bool(brands & {b"avif", b"avis"})


def unwrap_avif(data: bytes) -> Container:
    """An AVIF of one picture; raises InvalidImage if it is animated, damaged, cut short or of too many items."""
    found = {box.name: box for box in reversed(list(boxes(data, 0, len(data))))}
    if b"moov" in found:
        raise animated()
    if b"meta" not in found:
        raise damaged("there is no picture in it")
    meta = {box.name: box for box in reversed(list(boxes(data, found[b"meta"].content + 4, found[b"meta"].end)))}
    if not meta.keys() >= {b"iinf", b"iloc"}:
        raise damaged("there is no picture in it")
    items = _items(data, meta[b"iinf"])
    coded = _coded(data, meta, items)
    kept = bytearray(data)
    for kind, named_at in items.values():
        if kind not in (_CODED, _GRID):
            kept[named_at : named_at + 4] = _HIDDEN
    return Container("AVIF", bytes(kept), 1, sum(map(decoded_pixels, coded)))


def _items(data: bytes, box: Box) -> Mapping[int, _Item]:
    reader = _Reader(data, box.content, box.end)
    version = reader.number(4) >> 24
    reader.number(4 if version else 2)  # how many
    items: dict[int, _Item] = {}
    for entry in boxes(data, reader.at, box.end):
        if len(items) == _MOST_ITEMS:
            raise refuse(f"consists of more than {_MOST_ITEMS} items", "Save it anew, in one piece.")
        inner = _Reader(data, entry.content, entry.end)
        version = inner.number(4) >> 24
        if entry.name != b"infe" or version < 2:
            raise damaged("its list of items makes no sense")
        identity = inner.number(4 if version > 2 else 2)
        inner.number(2)
        if identity in items:
            raise damaged("two of its items have the same number")
        items[identity] = _Item(inner.number(4).to_bytes(4, "big"), inner.at - 4)
    return items


def _coded(data: bytes, meta: Mapping[bytes, Box], items: Mapping[int, _Item]) -> list[bytes]:
    """The coded bytes of each picture; no more in all than the file has, as each is copied."""
    coded: list[bytes] = []
    for identity, origin, extents in _locations(data, meta):
        if identity not in items or items[identity].kind != _CODED:
            continue
        if any(start + size > len(data) for start, size in extents):
            raise truncated()
        if sum(map(len, coded)) + sum(size for _, size in extents) > len(data):
            raise damaged("its items lie over each other")
        coded.append(b"".join(data[origin + start : origin + start + size] for start, size in extents))
    return coded


def _locations(data: bytes, meta: Mapping[bytes, Box]) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """Of each item: its number, what its places are counted from, and (offset, size) of its parts."""
    reader = _Reader(data, meta[b"iloc"].content, meta[b"iloc"].end)
    version = reader.number(4) >> 24
    offset_size, length_size = divmod(reader.number(1), 16)
    base_size, index_size = divmod(reader.number(1), 16)
    if version > 2:
        raise damaged("its list of places makes no sense")
    found, parts = [], 0
    for _ in range(checked(reader.number(4 if version == 2 else 2), _MOST_ITEMS)):
        identity = reader.number(4 if version == 2 else 2)
        method = reader.number(2) & 15 if version else _IN_FILE
        reader.number(2)
        base = reader.number(base_size)
        count = reader.number(2)
        parts = checked(parts + count)
        extents = []
        for _ in range(count):
            reader.number(index_size if version else 0)
            extents.append((base + reader.number(offset_size), reader.number(length_size)))
        found.append((identity, _origin(meta, method), extents))
    return found


def _origin(meta: Mapping[bytes, Box], method: int) -> int:
    if method == _IN_FILE:
        return 0
    if method == _IN_BOX and b"idat" in meta:
        return meta[b"idat"].content
    raise damaged("an item lies where none can")
