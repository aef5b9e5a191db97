"""Zip archives: the central directory says what is there, and nothing it says about sizes is believed."""

import stat
import zipfile
from collections.abc import Iterator
from typing import IO, BinaryIO

from noisegate.data.members import Found, Meter, refuse
from noisegate.data.names import NameDecoder, kept_path
from noisegate.data.unpacking import Inner, Unpacker
from noisegate.data.zip_directory import Names, check_packing, open_zip


def read_zip(file: BinaryIO, unpacker: Unpacker, decoder: NameDecoder) -> Iterator[Found | Inner]:
    """The files of a zip archive; `read_archive` says which are passed over and what is refused.

    Raises:
        InvalidArchive: damaged, cut short, encrypted, packed by another method than Deflate, or with a member that no
            data set needs.
        TooLarge: over one of the meter's limits.
    """
    meter = unpacker.meter
    with open_zip(file, meter.limits.max_files) as archive:
        names = Names(archive, decoder)
        for entry in archive.infolist():
            meter.count_entry()
            spelled = names.of(entry)
            if spelled.endswith("/"):
                unpacker.enter_folder(spelled)
                continue
            if (name := kept_path(spelled)) is None:
                unpacker.pass_over(spelled)
                continue
            _check_kind(name, entry)
            meter.enter(name)
            with archive.open(entry) as content:
                yield unpacker.take(name, entry.file_size, _Metered(content, entry, name, meter))


class _Metered:
    """The content of one entry."""

    def __init__(self, content: IO[bytes], entry: zipfile.ZipInfo, name: str, meter: Meter) -> None:
        self._content = content
        self._left = entry.file_size
        self._entry = entry
        self._name = name
        self._meter = meter

    def read(self, count: int) -> bytes:
        # Never more than the header claims; then the checksum was compared.
        piece = self._content.read(count)
        self._meter.unpack(len(piece))
        self._left -= len(piece)
        if len(piece) < count and self._left:
            claimed = self._entry.file_size
            what = f"has {claimed - self._left:,} bytes where its header claims {claimed:,}"
            raise refuse(self._name, what, "Pack it again.")
        return piece


def _check_kind(name: str, entry: zipfile.ZipInfo) -> None:
    # Unix packers put the file's mode into the upper half; others leave it zero.
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "is a symbolic link" if kind == stat.S_IFLNK else "is no regular file"
        raise refuse(name, what, "Pack the files themselves.")
    check_packing(name, entry)
