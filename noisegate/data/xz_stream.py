"""Reading .xz within a bound on memory, which `lzma.open` does not offer."""

import lzma
from typing import BinaryIO

# The strongest preset of xz (-9) needs 65 MiB; a header may ask for 4 GiB.
_MAX_DICTIONARY_BYTES = 128 * 2**20
_CHUNK_BYTES = 64 * 2**10


class XzStream:
    """`read(size)` over one or more concatenated xz streams.

    Raises, while reading:
        lzma.LZMAError: damaged, or wanting more memory than 128 MiB.
        EOFError: cut short.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pending = b""
        self._decompressor = _fresh()

    def read(self, size: int) -> bytes:
        """Between 1 and `size` bytes; none at the end."""
        while not self._decompressor.eof or self._next_stream():
            unpacked = self._decompressor.decompress(self._packed(), size)
            if unpacked:
                return unpacked
        return b""

    def _packed(self) -> bytes:
        if not self._decompressor.needs_input:
            return b""
        packed, self._pending = self._pending or self._file.read(_CHUNK_BYTES), b""
        if not packed:
            raise EOFError("the xz stream ends before its end marker")
        return packed

    def _next_stream(self) -> bool:
        # Zero bytes may lie between streams and after the last one.
        rest = self._decompressor.unused_data.lstrip(b"\x00")
        while not rest:
            chunk = self._file.read(_CHUNK_BYTES)
            if not chunk:
                return False
            rest = chunk.lstrip(b"\x00")
        self._pending = rest
        self._decompressor = _fresh()
        return True


def _fresh() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_DICTIONARY_BYTES)
