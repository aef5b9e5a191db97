"""Files on their way to the service."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from noisegate.client.errors import UnusableFile

CHUNK_BYTES = 256 * 1024

_ARCHIVE_TYPES = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".xz": "application/x-xz",
    ".txz": "application/x-xz",
}


def archive_type(path: Path) -> str:
    """The content type that a file name promises; the service looks at the first bytes anyway."""
    return _ARCHIVE_TYPES.get(path.suffix.lower(), "application/octet-stream")


def read_in_chunks(file: BinaryIO, total: int, on_bytes: Callable[[int, int], None] | None) -> Iterator[bytes]:
    """The content of an open file; after each chunk that was taken, `on_bytes` hears bytes sent and bytes in all."""
    sent = 0
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        sent += len(chunk)
        if on_bytes:
            on_bytes(sent, total)


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UnusableFile: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from error


def read_text(path: Path) -> str:
    """The content of a file in UTF-8; raises as `read_file`."""
    try:
        return read_file(path).decode()
    except UnicodeDecodeError as error:
        raise UnusableFile(f"{path} is no text in UTF-8") from error
