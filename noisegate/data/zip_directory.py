"""The central directory of a zip archive: how many entries it has, and what it calls them."""

import errno
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from noisegate.data.members import damaged, over_limit, refuse
from noisegate.data.names import NameDecoder, marked_wrongly, refuse_bytes
from noisegate.errors import InvalidArchive

_ENTRY = b"PK\x01\x02"
# The end record, which a comment of up to 64 KiB follows.
_END, _END_BYTES = b"PK\x05\x06", 22
_MOST_END_BYTES = _END_BYTES + 2**16
_CHUNK_BYTES = 2**20
_IN_UTF8 = 0x800
_UNICODE_PATH = 0x7075
_ENCRYPTED = 0x1
# Others unpack without a bound on memory in the standard library, and no image gains by them.
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_FAILURES = (
    zipfile.BadZipFile,
    NotImplementedError,
    ValueError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
)


@contextmanager
def open_zip(
    file: BinaryIO, most_entries: int, fault: Callable[[str], InvalidArchive] = damaged
) -> Iterator[zipfile.ZipFile]:
    """The archive; within the context, what is wrong with it is raised as InvalidArchive.

    Args:
        fault: makes the error for an archive that is damaged or cut short, given what is wrong.

    Raises:
        InvalidArchive: damaged, cut short, behind another archive, or with a name that is marked as UTF-8 and is not.
        TooLarge: more than `most_entries`.
    """
    _check_directory_size(file, most_entries)
    try:
        with zipfile.ZipFile(file) as archive:
            # `zipfile` reads the last of several archives in one file, and passes over the others.
            if before := min((entry.header_offset for entry in archive.infolist()), default=0):
                raise fault(f"{before:,} bytes lie before its first file, as where archives were joined")
            if _something_behind(file):
                raise fault("something stands behind its end, as where archives were joined")
            yield archive
    except UnicodeDecodeError as error:
        raise marked_wrongly(error.object) from error
    except _FAILURES as error:
        raise fault(str(error)) from error
    except OSError as error:
        # A member that is said to begin before the file does. Errors of the disk itself pass.
        if error.errno != errno.EINVAL:
            raise
        raise fault("a member lies outside the file") from error


def check_packing(name: str, entry: zipfile.ZipInfo) -> None:
    """Raises InvalidArchive for an entry that is encrypted, or not packed by Deflate or stored."""
    if entry.flag_bits & _ENCRYPTED:
        raise refuse(name, "is encrypted", "Pack it again without a password.")
    if entry.compress_type not in _METHODS:
        raise refuse(name, f"is packed by an unusual method ({entry.compress_type})", "Pack it again with Deflate.")


def is_npz(file: BinaryIO, most_entries: int) -> bool:
    """Whether a zip is one of NumPy's: arrays and nothing else, in no folders. Raises as `open_zip`."""
    with open_zip(file, most_entries) as archive:
        names = [_said(entry) or entry.orig_filename for entry in archive.infolist()]
    file.seek(0)
    return bool(names) and all(name.endswith(".npy") and "/" not in name for name in names)


class Names:
    """Decodes the names in one zip archive."""

    def __init__(self, archive: zipfile.ZipFile, decoder: NameDecoder) -> None:
        self._decoder = decoder
        for entry in archive.infolist():
            if not entry.orig_filename.isascii() and _said(entry) is None:
                decoder.look_at(_raw(entry))

    def of(self, entry: zipfile.ZipInfo) -> str:
        """An entry's name, with `/` between its parts whichever way they were written.

        Windows PowerShell 5.1 writes `\\`, which the format forbids. It is replaced in the decoded name: in Shift JIS, its
        byte can be the second half of a character.

        Raises:
            InvalidArchive: the name has no certain reading.
        """
        name = _said(entry)
        if name is None:
            spelled = entry.orig_filename
            name = spelled if spelled.isascii() else self._decoder.decode(_raw(entry))
        return name.replace("\\", "/")


def _said(entry: zipfile.ZipInfo) -> str | None:
    """The name where the archive says its encoding: by the mark for UTF-8, or in Info-ZIP's field for the Unicode path."""
    # The original name: `filename` ends at the first zero byte, which could hide a suffix.
    if entry.flag_bits & _IN_UTF8:
        return entry.orig_filename
    return _unicode_path(entry) if entry.extra else None


def _unicode_path(entry: zipfile.ZipInfo) -> str | None:
    extra = entry.extra
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        # With a checksum of the name it stands for: programs that rename a member may leave the old field.
        if kind == _UNICODE_PATH and len(field) > 5 and field[0] == 1:
            (checksum,) = struct.unpack_from("<I", field, 1)
            if checksum == zlib.crc32(_raw(entry)):
                return _utf8(field[5:])
    return None


def _utf8(field: bytes) -> str:
    try:
        return field.decode()
    except UnicodeDecodeError as error:
        raise refuse_bytes(field, "is a Unicode path and not in UTF-8", "Pack it again with names in UTF-8.") from error


def _raw(entry: zipfile.ZipInfo) -> bytes:
    # `zipfile` decodes names without the mark by code page 437, which gives every byte a character of its own.
    return entry.orig_filename.encode("cp437")


def _something_behind(file: BinaryIO) -> bool:
    """Whether anything but zeros follows on the end of the archive and its comment, where `zipfile` looks for none."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _MOST_END_BYTES))
    tail = file.read()
    at = tail.rfind(_END)
    (comment_bytes,) = struct.unpack_from("<H", tail, at + _END_BYTES - 2)
    return bool(tail[at + _END_BYTES + comment_bytes :].strip(b"\0"))


def _check_directory_size(file: BinaryIO, most_entries: int) -> None:
    """Refuse too many entries before `zipfile` builds an object for each.

    Counting their signatures in the whole file needs no trust in the directory's own figures; another archive inside
    adds to the count only if it has as many entries itself.
    """
    found, tail = 0, b""
    while chunk := file.read(_CHUNK_BYTES):
        found += (tail + chunk).count(_ENTRY)
        tail = chunk[-len(_ENTRY) + 1 :]
        if found > most_entries:
            raise over_limit(f"the archive holds more than {most_entries:,} files", "Split the data set.")
    file.seek(0)
