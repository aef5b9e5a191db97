"""The sizes of a Parquet file's pages, before any is unpacked.

Arrow unpacks a page whole, in memory, whatever its header claims; the footer's own figures may say something else. A page's header
is a struct in Thrift's compact encoding, in front of its bytes: field 2 is its size unpacked, field 3 its size in the file.
"""

import os
from collections.abc import Callable
from typing import BinaryIO

_UNPACKED, _PACKED = 2, 3

# A header holds the smallest and the largest value of its page, which writers cut to a few bytes. Most fit into the first.
_HEADER_BYTES = (512, 2**20)

_BOOLEANS = (1, 2)
_BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(3, 13)
_MOST_NESTED = 8


class BadPage(Exception):
    """Bytes that are no page header."""


def page_sizes(file: BinaryIO, start: int, length: int, check: Callable[[int], None]) -> None:
    """Tell `check` of the larger of each page's two sizes, packed and unpacked, in a column chunk of `length` bytes.

    Raises:
        BadPage: the chunk is no row of pages; and whatever `check` raises.
    """
    at, end = start, start + length
    while at < end:
        header_bytes, unpacked, packed = _header(file, at, end)
        check(max(unpacked, packed))
        at += header_bytes + packed
    if at != end:
        raise BadPage("the last page ends outside its column")


def _header(file: BinaryIO, at: int, end: int) -> tuple[int, int, int]:
    for length in _HEADER_BYTES:
        reader = _Compact(os.pread(file.fileno(), min(length, end - at), at))
        try:
            fields = reader.struct(0)
        except IndexError:
            continue
        sizes = fields.get(_UNPACKED, -1), fields.get(_PACKED, -1)
        if min(sizes) < 0:
            raise BadPage("a page has no size")
        return reader.at, *sizes
    raise BadPage("a page header does not end")


class _Compact:
    """Reads Thrift's compact encoding from `data`. Raises IndexError at its end, and BadPage for what it cannot hold."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int) -> dict[int, int]:
        """The whole numbers among a struct's fields, by field; it may lie this deep in others."""
        if depth > _MOST_NESTED:
            raise BadPage("a page header is nested too deep")
        fields: dict[int, int] = {}
        field = 0
        while byte := self._byte():
            kind, step = byte & 0x0F, byte >> 4
            field = field + step if step else _signed(self._number())
            if kind in (_I16, _I32, _I64):
                fields[field] = _signed(self._number())
            else:
                self._skip(kind, depth)
        return fields

    def _skip(self, kind: int, depth: int) -> None:
        if kind == _STRUCT:
            self.struct(depth + 1)
        elif kind == _BINARY:
            self._pass(self._number())
        elif kind in _BOOLEANS:
            return  # the value is the kind
        elif kind in (_BYTE, _DOUBLE):
            self._pass(1 if kind == _BYTE else 8)
        else:
            # Lists, sets and maps; no version of Parquet has one in a page header.
            raise BadPage(f"a page header has a field of kind {kind}")

    def _byte(self) -> int:
        byte = self._data[self.at]
        self.at += 1
        return byte

    def _pass(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number
            if shift > 63:
                raise BadPage("a number in a page header does not end")


def _signed(number: int) -> int:
    """Thrift writes 0, -1, 1, -2 as 0, 1, 2, 3."""
    return (number >> 1) ^ -(number & 1)
