"""Files on their way to the service: never whole in memory."""

import errno
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

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
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


class Uploadable(Protocol):
    """An archive that can be sent: `total` bytes of `content_type`. `chunks` raises UnusableFile."""

    @property
    def content_type(self) -> str: ...

    @property
    def total(self) -> int: ...

    def chunks(self) -> Iterator[bytes]: ...


class ArchiveFile:
    """An archive as it lies on the disk. Raises UnusableFile if it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # The service looks at the first bytes anyway.
        self.content_type = _ARCHIVE_TYPES.get(path.suffix.lower(), "application/octet-stream")
        self.total = file_size(path)

    def chunks(self) -> Iterator[bytes]:
        """Its content."""
        return file_chunks(self.path, self.total)


def disposition(upload: Uploadable) -> dict[str, str]:
    """The header that says what a file is called, for the service's sentences about it; none for what is made while it is sent."""
    if not isinstance(upload, ArchiveFile):
        return {}
    name = upload.path.name.encode(errors="replace").decode()
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}


class NamedFile(Protocol):
    """A file, and what it is called in an archive."""

    @property
    def member(self) -> str: ...

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int: ...


class FolderTar:
    """Files as a tar that is made while it is sent. Names, sizes and contents decide every byte of it, and nothing else."""

    content_type = "application/x-tar"

    def __init__(self, files: Sequence[NamedFile]) -> None:
        self._files = files
        self.total = len(_END_OF_TAR) + sum(len(_header(file)) + file.size + _padding(file.size) for file in files)

    def chunks(self) -> Iterator[bytes]:
        """The archive, in pieces large enough for a socket."""
        return _gathered(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        for file in self._files:
            yield _header(file)
            yield from file_chunks(file.path, file.size)
            yield bytes(_padding(file.size))
        yield _END_OF_TAR


class CountedUpload:
    """An upload that counts what was taken of it; `progress` hears bytes sent and bytes in all."""

    def __init__(self, upload: Uploadable, progress: Callable[[int, int], object] | None) -> None:
        self.sent = 0
        self._upload = upload
        self._progress = progress

    def chunks(self) -> Iterator[bytes]:
        """All of it from its beginning, and counted anew."""
        self.sent = 0
        for chunk in self._upload.chunks():
            yield chunk
            self.sent += len(chunk)
            if self._progress:
                self._progress(self.sent, self._upload.total)


def file_size(path: Path) -> int:
    """The size of a file in bytes; raises UnusableFile if there is none."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {why_not(error)}") from error


def file_chunks(path: Path, size: int) -> Iterator[bytes]:
    """The content of a file that has `size` bytes.

    Raises:
        UnusableFile: it cannot be read, or has another size by now.
    """
    left = size
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {why_not(error)}") from error
    if left:
        raise UnusableFile(f"{path} was changed while it was sent. Send it again once nothing writes to it.")


def open_file(path: Path) -> BinaryIO:
    """An open file, read from its beginning; raises UnusableFile."""
    try:
        return path.open("rb")
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {why_not(error)}") from error


@contextmanager
def written_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, under another name until it is whole: if the block fails, what was there stays.

    Raises:
        UnusableFile: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        file = part.open("wb")
    except OSError as error:
        raise UnusableFile(f"{path} cannot be written: {why_not(error)}") from error
    try:
        with file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_file(path: Path) -> bytes:
    """The content of a file.

    Raises:
        UnusableFile: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {why_not(error)}") from error


def read_text(path: Path) -> str:
    """The content of a file in UTF-8; raises as `read_file`."""
    try:
        return read_file(path).decode()
    except UnicodeDecodeError as error:
        raise UnusableFile(f"{path} is no text in UTF-8") from error


def why_not(error: OSError) -> str:
    """What the system says of a file that cannot be read."""
    return error.strerror or type(error).__name__


def _header(file: NamedFile) -> bytes:
    # No owner, no time of change: neither is a part of the images.
    info = tarfile.TarInfo(file.member)
    info.size = file.size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    batch = bytearray()
    for piece in pieces:
        batch += piece
        if len(batch) >= CHUNK_BYTES:
            yield bytes(batch)
            batch.clear()
    yield bytes(batch)
