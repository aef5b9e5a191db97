"""TIFF: its directory of tags read here, and written anew with nothing in it but what says where pixels lie and what they mean.

Pillow warns of tags that it does not like, and the library below it (libtiff) reads any number of them, in many forms. It gets
about a dozen, of a checked layout; a BigTIFF becomes a TIFF. What is read: one page, in strips or tiles; unsigned whole numbers;
not compressed, LZW, Deflate, PackBits or JPEG. Fax compressions, old JPEG, LZMA, Zstandard and the like are refused.
"""

import struct
from collections.abc import Collection
from dataclasses import dataclass

from noisegate.inference.parts import Container, checked, damaged, refuse, truncated
from noisegate.inference.tiff_layout import (
    COLOUR_MAP,
    KEPT,
    ORIENTATION,
    SUBFILE,
    Tags,
    check_layout,
    full_colour_map,
)

TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BIG = 43
# Numbers by TIFF's type: BYTE, SHORT, LONG, UNDEFINED, LONG8.
_NUMBERS = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
# Of which libtiff expects bytes.
_JPEG_TABLES = 347
_MOST_TAGS, _MOST_DIRECTORIES = 1000, 100
# Bits of NewSubfileType: a smaller version of another picture, a mask.
_REDUCED, _MASK = 1, 4
_ONE_PAGE = "Save the page that is meant as a file of its own."


@dataclass(frozen=True)
class _File:
    """`order` is struct's sign of the byte order; `entry` the bytes of a tag in a directory, `word` those of an offset."""

    data: bytes
    order: str
    big: bool

    @property
    def entry(self) -> int:
        return 20 if self.big else 12

    def numbers(self, form: str, at: int) -> tuple[int, ...]:
        size = struct.calcsize(f"={form}")
        if at + size > len(self.data):
            raise truncated()
        return struct.unpack_from(f"{self.order}{form}", self.data, at)

    def directory(self, at: int, wanted: Collection[int]) -> tuple[Tags, int]:
        """The wanted tags of the directory at an offset, and the offset of the next one, 0 if there is none."""
        (count,) = self.numbers("Q" if self.big else "H", at)
        checked(count, _MOST_TAGS)
        first = at + (8 if self.big else 2)
        tags: Tags = {}
        for entry in range(first, first + count * self.entry, self.entry):
            tag, kind = self.numbers("HH", entry)
            if tag in wanted and tag not in tags:
                tags[tag] = self._values(kind, entry + 4)
        (following,) = self.numbers("Q" if self.big else "I", first + count * self.entry)
        return tags, following

    def _values(self, kind: int, at: int) -> tuple[int, ...]:
        word, size = ("Q", 8) if self.big else ("I", 4)
        (count,) = self.numbers(word, at)
        if kind not in _NUMBERS:
            raise damaged("a tag that should hold numbers holds something else")
        # As many as the largest palette and the most strips have, and JPEG tables a little more.
        checked(count, 3 * 2**16)
        form = f"{count}{_NUMBERS[kind]}"
        if struct.calcsize(f"={form}") > size:
            (at,) = self.numbers(word, at + size)
            return self.numbers(form, at)
        return self.numbers(form, at + size)


def unwrap_tiff(data: bytes) -> Container:
    """A TIFF of one page; raises InvalidImage for several, for what is not read, and if it is damaged or cut short."""
    file = _File(data, "<" if data[:2] == b"II" else ">", _BIG in data[2:4])
    (start,) = file.numbers("Q" if file.big else "I", 8 if file.big else 4)
    tags, following = file.directory(start, KEPT)
    _check_pages(file, tags, following)
    check_layout(tags, data)
    if COLOUR_MAP in tags:
        tags[COLOUR_MAP] = full_colour_map(tags[COLOUR_MAP])
    (orientation,) = tags.pop(ORIENTATION, (1,))
    tags.pop(SUBFILE, None)
    return Container("TIFF", _rewritten(file, tags), orientation if 1 <= orientation <= 8 else 1)


def _check_pages(file: _File, tags: Tags, following: int) -> None:
    if _subfile(tags) & _REDUCED:
        raise refuse(
            "begins with a preview, as raw files of cameras do", "Develop it: save it as JPEG or as a plain TIFF."
        )
    directories = 1
    while following:
        directories = checked(directories + 1, _MOST_DIRECTORIES)
        further, following = file.directory(following, [SUBFILE])
        if not _subfile(further) & (_REDUCED | _MASK):
            raise refuse("has more than one page; which of them is meant is not clear", _ONE_PAGE)


def _subfile(tags: Tags) -> int:
    return sum(tags.get(SUBFILE, ())[:1])


def _rewritten(file: _File, tags: Tags) -> bytes:
    """The same bytes, a new directory behind them, and a header that leads to it."""
    padding = bytes(len(file.data) % 2)
    start = len(file.data) + len(padding)
    entries, values = [], b""
    values_start = start + 2 + 12 * len(tags) + 4
    for tag, numbers in sorted(tags.items()):
        kind = 7 if tag == _JPEG_TABLES else 4 if max(numbers, default=0) > 65_535 else 3
        packed = struct.pack(f"{file.order}{len(numbers)}{_NUMBERS[kind]}", *numbers)
        place = packed.ljust(4, b"\0")
        if len(packed) > 4:
            place = struct.pack(f"{file.order}I", values_start + len(values))
            values += packed + bytes(len(packed) % 2)
        entries.append(struct.pack(f"{file.order}HHI", tag, kind, len(numbers)) + place)
    header = file.data[:2] + struct.pack(f"{file.order}HI", 42, start)
    count = struct.pack(f"{file.order}H", len(tags))
    return b"".join([header, file.data[8:], padding, count, *entries, bytes(4), values])
