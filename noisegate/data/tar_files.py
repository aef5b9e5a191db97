"""Tar archives from a stream of unpacked bytes: those of 1979 and ustar, with the long names and sizes of GNU and pax.

The standard library's `tarfile` is no match for a hostile archive: it takes a damaged header for the end (so half an
archive looks whole), reads extended headers of any size into memory and, up to Python 3.11.9, searches them with
regular expressions in quadratic time (CVE-2024-6232). What a data set needs of the format is little.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from noisegate.data.kinds import tar_checksum
from noisegate.data.members import Found, damaged, refuse
from noisegate.data.names import NameDecoder, kept_path
from noisegate.data.streams import Readable
from noisegate.data.unpacking import Inner, Unpacker

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


def read_tar(
    stream: Readable, unpacker: Unpacker, decoder: NameDecoder, within: str | None = None
) -> Iterator[Found | Inner]:
    """The files of a tar archive; `read_archive` says which are passed over and what is refused.

    One `within` another archive, under that name, is a folder of that name; its bytes were counted when they came out of that one.

    A backslash in a name is refused: on the systems that tars come from it is a character like others, not a separator.

    Raises:
        InvalidArchive: damaged, cut short, or with a member that no data set needs.
        TooLarge: over one of the meter's limits.
    """
    meter = unpacker.meter
    blocks = _Blocks(stream, meter.unpack if within is None else lambda _count: None)
    before = "" if within is None else f"{within}/"
    for member in _members(blocks, decoder):
        meter.count_entry()
        content = _Content(blocks, member.size)
        if member.is_folder:
            unpacker.enter_folder(before + member.name)
        elif (kept := _kept(member)) is not None:
            meter.enter(before + kept)
            yield unpacker.take(before + kept, member.size, content, is_inner=within is not None)
        else:
            unpacker.pass_over(before + member.name)
        content.skip_rest()
    # To the end of the compressed stream, so that its checksum is checked too.
    blocks.drain()


class _Member(NamedTuple):
    name: str
    size: int
    kind: bytes

    @property
    def is_folder(self) -> bool:
        return self.kind == _FOLDER or (self.kind in _REGULAR and self.name.endswith("/"))


def _kept(member: _Member) -> str | None:
    if member.kind not in _REGULAR:
        what = _REFUSED.get(member.kind, f"is of a kind that no image is ({member.kind!r})")
        raise refuse(member.name, what, "Pack the files themselves.")
    return kept_path(member.name)


class _Header(NamedTuple):
    name: bytes
    size: int
    kind: bytes


class _Blocks:
    """Exact reads from a stream, all of them metered. It is read ahead, as a call for every header would take longer."""

    def __init__(self, stream: Readable, meter: Callable[[int], None]) -> None:
        self._stream = stream
        self._meter = meter
        self._ahead, self._at = b"", 0

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._ahead):
            return b"".join(self._pieces(count))
        taken, self._at = self._ahead[self._at : end], end
        self._meter(count)
        return taken

    def skip(self, count: int) -> None:
        for _ in self._pieces(count):
            pass

    def drain(self) -> None:
        """To the end, where nothing but zeros may be: the files of a second archive would be lost in silence."""
        piece = self._ahead[self._at :] or self._stream.read(_CHUNK_BYTES)
        while piece:
            self._meter(len(piece))
            if piece.count(0) < len(piece):
                raise damaged("something stands behind its end marker, as where archives were joined")
            piece = self._stream.read(_CHUNK_BYTES)

    def _pieces(self, count: int) -> Iterator[bytes]:
        while count:
            if self._at == len(self._ahead):
                self._ahead, self._at = self._stream.read(_CHUNK_BYTES), 0
                if not self._ahead:
                    raise damaged("it ends before its end marker")
            piece = self._ahead[self._at : self._at + count]
            self._at += len(piece)
            self._meter(len(piece))
            count -= len(piece)
            yield piece


class _Content:
    """The content of one member, and the padding behind it."""

    def __init__(self, blocks: _Blocks, size: int) -> None:
        self._blocks = blocks
        self._left = size
        self._padding = -size % _BLOCK_BYTES

    def read(self, count: int) -> bytes:
        count = min(count, self._left)
        self._left -= count
        return self._blocks.take(count)

    def skip_rest(self) -> None:
        self._blocks.skip(self._left + self._padding)


def _members(blocks: _Blocks, decoder: NameDecoder) -> Iterator[_Member]:
    """Every member, with what the extended headers before it say put in. The caller reads the contents."""
    name: str | bytes | None = None
    size: int | None = None
    while (block := blocks.take(_BLOCK_BYTES)) != _ZERO_BLOCK:
        header = _parse(block)
        if header.kind in _EXTENDED:
            content = _extended_content(header, blocks)
            if header.kind == _GNU_LONG_NAME:
                name = _until_zero(content)
            elif header.kind == _PAX:
                records = _pax_records(content)
                name = _pax_name(records, name)
                size = _decimal(records["size"]) if "size" in records else size
            continue
        said = header.name if name is None else name
        yield _Member(
            decoder.decode(said) if isinstance(said, bytes) else said,
            header.size if size is None else size,
            header.kind,
        )
        name = size = None
    if blocks.take(_BLOCK_BYTES) != _ZERO_BLOCK:
        raise damaged("its end marker is incomplete")


def _parse(block: bytes) -> _Header:
    is_ustar = block[257:262] == b"ustar"
    if not is_ustar and not block[148:156].strip(b" \0").isdigit():
        raise damaged("no tar header where one should be")
    if _octal(block[148:156]) != tar_checksum(block):
        raise damaged("the checksum of a header does not match")
    name = _until_zero(block[:100])
    # GNU, whose magic is "ustar  ", keeps other things where POSIX keeps the prefix; tars of 1979 may have anything there.
    if block[257:263] == b"ustar\0" and block[345]:
        name = _until_zero(block[345:500]) + b"/" + name
    return _Header(name, _number(block[124:136]), block[156:157])


def _extended_content(header: _Header, blocks: _Blocks) -> bytes:
    if header.size > _MAX_EXTENDED_HEADER_BYTES:
        raise damaged(f"an extended header claims {header.size:,} bytes")
    content = _Content(blocks, header.size)
    whole = content.read(header.size)
    content.skip_rest()
    return whole


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
        records[key.decode("ascii", "backslashreplace")] = value
        at = end
    if any(key.startswith("GNU.sparse.") for key in records):
        name = records.get("GNU.sparse.name") or records.get("path", b"a member")
        raise refuse(name.decode("utf-8", "backslashreplace"), _REFUSED[b"S"], "Pack the files themselves.")
    return records


def _pax_name(records: dict[str, bytes], otherwise: str | bytes | None) -> str | bytes | None:
    """The path, decoded if these records say that it is UTF-8: they do, unless they say that it is bytes."""
    if "path" not in records:
        return otherwise
    if records.get("hdrcharset") == b"BINARY":
        return records["path"]
    try:
        return records["path"].decode()
    except UnicodeDecodeError:
        return records["path"]  # of a packer that does not know either


def _number(field: bytes) -> int:
    # Sizes from 8 GiB on are binary, with the first bit set.
    return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _octal(field)


def _octal(field: bytes) -> int:
    digits = field.partition(b"\0")[0].strip()
    if not digits or digits.strip(b"01234567"):  # of every header: a regular expression takes four times as long
        raise damaged("a number in a header is malformed")
    return int(digits, 8)


def _decimal(digits: bytes) -> int:
    # At most 19 digits, which is 64 bits: `int` refuses thousands of them with an error of its own.
    if not re.fullmatch(rb"[0-9]{1,19}", digits):
        raise damaged("a number in an extended header is malformed")
    return int(digits)


def _until_zero(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
