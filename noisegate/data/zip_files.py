"""Zip archives: the central directory says what is there, and nothing it says about sizes is believed."""

import errno
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from noisegate.data.members import (
    LeftOut,
    Member,
    Meter,
    clean_name,
    damaged,
    is_ignored,
    is_image,
    over_limit,
    refuse,
)

_ENTRY = b"PK\x01\x02"
_CHUNK_BYTES = 2**20
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


def read_zip(file: BinaryIO, meter: Meter) -> Iterator[Member | LeftOut]:
    """The files of a zip archive; `read_archive` says which are passed over and what is refused.

    Raises:
        InvalidArchive: damaged, cut short, encrypted, packed by another method than Deflate, or with a member that no
            data set needs.
        TooLarge: over one of the meter's limits.
    """
    _check_directory_size(file, meter)
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                meter.count_entry()
                yield from _read_entry(archive, entry, meter)
    except _FAILURES as error:
        raise damaged(str(error)) from error
    except OSError as error:
        # A member that is said to begin before the file does. Errors of the disk itself pass.
        if error.errno != errno.EINVAL:
            raise
        raise damaged("a member lies outside the file") from error


def _check_directory_size(file: BinaryIO, meter: Meter) -> None:
    """Refuse too many entries before `zipfile` builds an object for each.

    Counting their signatures in the whole file needs no trust in the directory's own figures; another archive inside
    adds to the count only if it has as many entries itself.
    """
    found, tail = 0, b""
    while chunk := file.read(_CHUNK_BYTES):
        found += (tail + chunk).count(_ENTRY)
        tail = chunk[-len(_ENTRY) + 1 :]
        if found > meter.limits.max_files:
            raise over_limit(f"the archive holds more than {meter.limits.max_files:,} files", "Split the data set.")
    file.seek(0)


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, meter: Meter) -> Iterator[Member | LeftOut]:
    # The original name: `filename` ends at the first zero byte, which could hide a suffix.
    name = clean_name(entry.orig_filename)
    _check_kind(name, entry)
    if entry.is_dir():
        return
    meter.enter(name)
    if is_ignored(name):
        return
    if not is_image(name):
        yield LeftOut(name, "is not an image")
        return
    if entry.flag_bits & _ENCRYPTED:
        raise refuse(name, "is encrypted", "Pack it again without a password.")
    if entry.compress_type not in _METHODS:
        raise refuse(name, f"is packed by an unusual method ({entry.compress_type})", "Pack it again with Deflate.")
    with archive.open(entry) as unpacked:
        content = unpacked.read(meter.limits.max_member_bytes + 1)
    meter.unpack(len(content))
    meter.check_member(name, len(content))
    if len(content) != entry.file_size:
        raise refuse(name, f"has {len(content):,} bytes where its header claims {entry.file_size:,}", "Pack it again.")
    yield Member(name, content)


def _check_kind(name: str, entry: zipfile.ZipInfo) -> None:
    # Unix packers put the file's mode into the upper half; others leave it zero.
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "is a symbolic link" if kind == stat.S_IFLNK else "is no regular file"
        raise refuse(name, what, "Pack the files themselves.")
