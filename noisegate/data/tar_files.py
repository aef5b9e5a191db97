"""Tar archives from a stream of unpacked bytes: ustar, with the long names and sizes of GNU and pax.

The standard library's `tarfile` is no match for a hostile archive: it takes a damaged header for the end (so half an
archive looks whole), reads extended headers of any size into memory and, up to Python 3.11.9, searches them with
regular expressions in quadratic time (CVE-2024-6232). What a data set needs of the format is little.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from noisegate.data.members import LeftOut, Member, Meter, clean_name, damaged, is_ignored, is_image, refuse

_BLOCK_BYTES = 512
_CHUNK_BYTES = 256 * 2**10
_MAX_EXTENDED_HEADER_BYTES = 64 * 2**10  # a path is the largest thing they hold that matters here
_ZERO_BLOCK = bytes(_BLOCK_BYTES)

_REGULAR = {b"0", b"\0", b"7"}
_FOLDER = b"5"
_PAX, _PAX_GLOBAL, _GNU_LONG_NAME, _GNU_LONG_LINK = b"x", b"g", b"L", b"K"
_EXTENDED = {_PAX, _PAX_GLOBAL, _GNU_LONG_NAME, _GNU_LONG_LINK}
_REFUSED = {
    b"1": "is a hard link",
    b"2": "is a symbolic link",
    b"3": "is a device",
    b"4": "is a device",
    b"6": "is a pipe",
    b"S": "is a sparse file",
}


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def is_tar(head: bytes) -> bool:
    """Whether a file, or a header within it, that begins with `head` is tar's."""
    return head[257:262] == b"ustar"


def read_tar(stream: Readable, meter: Meter) -> Iterator[Member | LeftOut]:
    """The files of a tar archive; `read_archive` says which are passed over and what is refused.

    Raises:
        InvalidArchive: damaged, cut short, or with a member that no data set needs.
        TooLarge: over one of the meter's limits.
    """
    blocks = _Blocks(stream, meter)
    for header in _headers(blocks):
        meter.count_entry()
        name = clean_name(header.name)
        if header.kind == _FOLDER or (header.kind in _REGULAR and header.name.endswith("/")):
            blocks.skip(header.padded_size)
            continue
        if header.kind not in _REGULAR:
            what = _REFUSED.get(header.kind, f"is of a kind that no image is ({header.kind!r})")
            raise refuse(name, what, "Pack the files themselves.")
        meter.enter(name)
        if is_image(name) and not is_ignored(name):
            meter.check_member(name, header.size)
            content = blocks.take(header.size)
            blocks.skip(header.padded_size - header.size)
            yield Member(name, content)
            continue
        blocks.skip(header.padded_size)
        if not is_ignored(name):
            yield LeftOut(name, "is not an image")
    # To the end of the compressed stream, so that its checksum is checked too.
    blocks.drain()


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    size: int
    kind: bytes

    @property
    def padded_size(self) -> int:
        return -(-self.size // _BLOCK_BYTES) * _BLOCK_BYTES


class _Blocks:
    """Exact reads from a stream, all of them metered."""

    def __init__(self, stream: Readable, meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def take(self, count: int) -> bytes:
        return b"".join(self._pieces(count))

    def skip(self, count: int) -> None:
        for _ in self._pieces(count):
            pass

    def drain(self) -> None:
        while piece := self._stream.read(_CHUNK_BYTES):
            self._meter.unpack(len(piece))

    def _pieces(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self._stream.read(min(count, _CHUNK_BYTES))
            if not piece:
                raise damaged("it ends before its end marker")
            self._meter.unpack(len(piece))
            count -= len(piece)
            yield piece


def _headers(blocks: _Blocks) -> Iterator[_Header]:
    """Every member's header, with what the extended headers before it say put in. The caller reads the contents."""
    name: str | None = None
    size: int | None = None
    while (block := blocks.take(_BLOCK_BYTES)) != _ZERO_BLOCK:
        header = _parse(block)
        if header.kind in _EXTENDED:
            content = _extended_content(header, blocks)
            if header.kind == _GNU_LONG_NAME:
                name = _text(content)
            elif header.kind == _PAX:
                records = _pax_records(content)
                name = _text(records["path"]) if "path" in records else name
                size = _decimal(records["size"]) if "size" in records else size
            continue
        yield replace(header, name=header.name if name is None else name, size=header.size if size is None else size)
        name = size = None
    if blocks.take(_BLOCK_BYTES) != _ZERO_BLOCK:
        raise damaged("its end marker is incomplete")


def _parse(block: bytes) -> _Header:
    if not is_tar(block):
        raise damaged("no tar header where one should be")
    # The checksum is taken with its own eight bytes as spaces.
    if _octal(block[148:156]) != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise damaged("the checksum of a header does not match")
    name = _text(block[:100])
    # GNU, whose magic is "ustar  ", keeps other things where POSIX keeps the prefix.
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    return _Header(name, _number(block[124:136]), block[156:157])


def _extended_content(header: _Header, blocks: _Blocks) -> bytes:
    if header.size > _MAX_EXTENDED_HEADER_BYTES:
        raise damaged(f"an extended header claims {header.size:,} bytes")
    return blocks.take(header.padded_size)[: header.size]


def _pax_records(content: bytes) -> dict[str, bytes]:
    """Records of the form `length key=value newline`, the length counting all of it."""
    records = {}
    at = 0
    while at < len(content):
        length_text = content[at : at + 8].partition(b" ")[0]
        end = at + _decimal(length_text)
        record = content[at + len(length_text) + 1 : end]
        if end > len(content) or not record.endswith(b"\n"):
            raise damaged("an extended header is malformed")
        key, _, value = record[:-1].partition(b"=")
        records[_text(key)] = value
        at = end
    if any(key.startswith("GNU.sparse.") for key in records):
        raise refuse(_text(records.get("path", b"")), _REFUSED[b"S"], "Pack the files themselves.")
    return records


def _number(field: bytes) -> int:
    # Sizes from 8 GiB on are binary, with the first bit set.
    return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _octal(field)


def _octal(field: bytes) -> int:
    digits = field.partition(b"\0")[0].strip()
    if not re.fullmatch(rb"[0-7]+", digits):
        raise damaged("a number in a header is malformed")
    return int(digits, 8)


def _decimal(digits: bytes) -> int:
    # At most 19 digits, which is 64 bits: `int` refuses thousands of them with an error of its own.
    if not re.fullmatch(rb"[0-9]{1,19}", digits):
        raise damaged("a number in an extended header is malformed")
    return int(digits)


def _text(field: bytes) -> str:
    # What is not UTF-8 becomes unprintable, and is refused as such by `clean_name`.
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")
