"""The sizes of a Parquet file's pages, before any is unpacked.

Arrow unpacks a page whole, in memory, whatever its header claims; the footer's own figures may say something else. Both are read
here and not asked of Arrow, which ends the process at some damaged footers when it is asked for a column's place.
The numbers of fields are those of `parquet.thrift`, in the specification of the format.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from noisegate.data.formats.thrift import BINARY, I32, I64, LIST, STRUCT, BadThrift, Compact, CutShort

# FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, PageHeader.
_ROW_GROUPS = 4
_COLUMNS = 1
_META_DATA = 3
_PATH, _TOTAL_PACKED, _DATA_OFFSET, _DICTIONARY_OFFSET = 3, 7, 9, 11
_PAGE_UNPACKED, _PAGE_PACKED = 2, 3

# A header holds the smallest and the largest value of its page, which writers cut to a few bytes. Most fit into the first.
_HEADER_BYTES = (512, 2**20)


@dataclass(frozen=True)
class Chunk:
    """The pages of one column in one row group."""

    path: str
    start: int
    length: int


def chunks(footer: bytes) -> Iterator[Chunk]:
    """All column chunks that a footer names.

    Raises:
        BadThrift: it is no footer.
    """
    reader = Compact(footer)
    for field, kind in reader.fields():
        if (field, kind) != (_ROW_GROUPS, LIST):
            reader.skip(kind)
            continue
        for item in reader.items():
            _expect(item == STRUCT)
            yield from _row_group(reader)


def check_pages(file: BinaryIO, chunk: Chunk, check: Callable[[int], None]) -> None:
    """Tell `check` of the larger of each page's two sizes, packed and unpacked.

    Raises:
        BadThrift: the chunk is no row of pages; and whatever `check` raises.
    """
    at, end = chunk.start, chunk.start + chunk.length
    _expect(0 < at <= end <= os.fstat(file.fileno()).st_size)
    while at < end:
        header_bytes, unpacked, packed = _page_header(file, at, end)
        check(max(unpacked, packed))
        at += header_bytes + packed
    _expect(at == end)


def _row_group(reader: Compact) -> Iterator[Chunk]:
    for field, kind in reader.fields():
        if (field, kind) != (_COLUMNS, LIST):
            reader.skip(kind)
            continue
        for item in reader.items():
            _expect(item == STRUCT)
            for inner, inner_kind in reader.fields():
                if (inner, inner_kind) == (_META_DATA, STRUCT):
                    yield _column(reader)
                else:
                    reader.skip(inner_kind)


def _column(reader: Compact) -> Chunk:
    path: list[str] = []
    numbers: dict[int, int] = {}
    for field, kind in reader.fields():
        if (field, kind) == (_PATH, LIST):
            for item in reader.items():
                _expect(item == BINARY)
                path.append(reader.binary().decode())
        elif kind == I64:
            numbers[field] = reader.whole()
        else:
            reader.skip(kind)
    _expect({_TOTAL_PACKED, _DATA_OFFSET} <= numbers.keys())
    start = min(numbers[field] for field in (_DATA_OFFSET, _DICTIONARY_OFFSET) if field in numbers)
    return Chunk(".".join(path), start, numbers[_TOTAL_PACKED])


def _page_header(file: BinaryIO, at: int, end: int) -> tuple[int, int, int]:
    """Bytes of the header, of the page unpacked, and of the page in the file."""
    for length in _HEADER_BYTES:
        reader = Compact(os.pread(file.fileno(), min(length, end - at), at))
        numbers: dict[int, int] = {}
        try:
            for field, kind in reader.fields():
                if kind == I32:
                    numbers[field] = reader.whole()
                else:
                    reader.skip(kind)
        except CutShort:
            continue
        _expect(min(numbers.get(_PAGE_UNPACKED, -1), numbers.get(_PAGE_PACKED, -1)) >= 0)
        return reader.at, numbers[_PAGE_UNPACKED], numbers[_PAGE_PACKED]
    raise BadThrift("a page's header does not end")


def _expect(holds: bool) -> None:
    if not holds:
        raise BadThrift("not as Parquet is written")
