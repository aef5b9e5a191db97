"""Reading .gz, .bz2, .xz and .zst front to back within a bound on memory, which `lzma.open` and its like do not offer."""

import bz2
import gzip
import lzma
import sys
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from typing import BinaryIO, Protocol, Self, cast

from noisegate.data.kinds import GZIP, XZ, ZSTD
from noisegate.data.members import damaged
from noisegate.errors import InvalidArchive
from noisegate.file_kinds import is_bzip2

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# The strongest preset of xz (-9) needs 65 MiB, that of zstd (--ultra -22) 128 MiB; headers may ask for 4 GiB.
_MOST_MEMORY_BYTES = 128 * 2**20
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _MOST_MEMORY_BYTES.bit_length() - 1}
_CHUNK_BYTES = 64 * 2**10
_PIECE_BYTES = 256 * 2**10
_PIECES_AHEAD = 4
# bz2 has no error of its own.
_FAILURES = (lzma.LZMAError, zstd.ZstdError, OSError, ValueError)


class Readable(Protocol):
    """`read(count)` answers between 1 and `count` bytes, and none at the end."""

    def read(self, count: int, /) -> bytes: ...


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def unpacked(file: BinaryIO, head: bytes) -> tuple[str, Readable] | None:
    """The name of the packer of a file that begins with `head`, and what it packed; None if it is packed by none of the four.

    Reading raises InvalidArchive where the file is damaged, cut short or asks for more memory than 128 MiB.
    """
    if head.startswith(GZIP):
        return "gzip", GzipStream(file)
    if is_bzip2(head):
        return "bzip2", _Stream(file, bz2.BZ2Decompressor)
    if head.startswith(XZ):
        return "xz", _Stream(file, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY_BYTES))
    if head.startswith(ZSTD) or _is_skippable(head):
        return "Zstandard", _Stream(file, lambda: zstd.ZstdDecompressor(options=_ZSTD_OPTIONS))
    return None


class Again:
    """A stream whose beginning was read already, and is read once more."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, count: int) -> bytes:
        if not self._head:
            return self._rest.read(count)
        piece, self._head = self._head[:count], self._head[count:]
        return piece


class Ahead:
    """A stream that a thread reads while what came before is being worked on, a few pieces ahead at most.

    Unpackers hold no lock of the interpreter's, so they take a core of their own. What reading raises is raised where its bytes
    would have come.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._pieces: Queue[bytes | Exception] = Queue(_PIECES_AHEAD)
        self._piece, self._at = b"", 0
        self._ended = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read_ahead, name="unpacking", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            # One that waits for room finds it, and sees that the reader has gone.
            with suppress(Empty):
                self._pieces.get_nowait()
            self._thread.join(0.01)

    def read(self, count: int) -> bytes:
        if self._at == len(self._piece) and not self._ended:
            found = self._pieces.get()
            if isinstance(found, Exception):
                raise found
            self._piece, self._at, self._ended = found, 0, not found
        taken = self._piece[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def _read_ahead(self) -> None:
        piece = b"-"
        while piece and not self._stopped.is_set():
            try:
                piece = self._stream.read(_PIECE_BYTES)
            except Exception as error:
                self._pieces.put(error)
                return
            self._pieces.put(piece)


class GzipStream:
    """One or more gzip streams after each other."""

    def __init__(self, file: Readable) -> None:
        self._file = gzip.GzipFile(fileobj=cast(BinaryIO, file))  # all that it does with it is read

    def read(self, count: int) -> bytes:
        try:
            return self._file.read(count)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise _damage(error) from error


class _Stream:
    """One or more streams of another packer after each other. Zero bytes may lie between them and after the last one."""

    def __init__(self, file: BinaryIO, fresh: Callable[[], _Decompressor]) -> None:
        self._file = file
        self._fresh = fresh
        self._pending = b""
        self._decompressor = fresh()

    def read(self, count: int) -> bytes:
        while not self._decompressor.eof or self._next_stream():
            packed = self._packed()
            try:
                piece = self._decompressor.decompress(packed, count)
            except _FAILURES as error:
                raise _damage(error) from error
            if piece:
                return piece
        return b""

    def _packed(self) -> bytes:
        if not self._decompressor.needs_input:
            return b""
        packed, self._pending = self._pending or self._file.read(_CHUNK_BYTES), b""
        if not packed:
            raise damaged("its packed stream ends before its end marker")
        return packed

    def _next_stream(self) -> bool:
        rest = self._decompressor.unused_data.lstrip(b"\x00")
        while not rest:
            chunk = self._file.read(_CHUNK_BYTES)
            if not chunk:
                return False
            rest = chunk.lstrip(b"\x00")
        self._pending = rest
        self._decompressor = self._fresh()
        return True


def _is_skippable(head: bytes) -> bool:
    # Frames without content, which some packers begin with.
    return head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50


def _damage(error: Exception) -> InvalidArchive:
    """What a decompressor says of damage, in our words."""
    return _wants_memory() if "memory" in str(error).lower() else damaged(str(error))


def _wants_memory() -> InvalidArchive:
    return InvalidArchive(
        f"the archive takes more than {_MOST_MEMORY_BYTES // 2**20} MiB of memory to unpack",
        field="archive",
        remedy="Pack it again at a usual level: xz to -9, zstd without --long.",
    )
