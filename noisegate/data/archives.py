"""Archives of images, read from front to back and never unpacked to disk."""

import gzip
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path

from noisegate.data.members import ArchiveLimits, Found, Meter, damaged
from noisegate.data.tar_files import is_tar, read_tar
from noisegate.data.xz_stream import XzStream
from noisegate.data.zip_files import read_zip
from noisegate.errors import InvalidArchive
from noisegate.spec.reading import NameEncoding

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and empty
_GZIP = b"\x1f\x8b"
_XZ = b"\xfd7zXZ\x00"
_ENOUGH_TO_TELL_BYTES = 512


def read_archive(
    path: Path,
    limits: ArchiveLimits,
    folder: Path,  # noqa: ARG001
    names: NameEncoding | None = None,  # noqa: ARG001
) -> Iterator[Found]:
    """The files of a zip, tar, tar.gz or tar.xz in their order, one in memory at a time.

    The kind is told by the first bytes, not by the name. Folders, hidden files and `__MACOSX` are passed over; files
    without an image's suffix come as `LeftOut`. Images come with their bytes, not yet looked at.

    Raises:
        InvalidArchive: of none of the four kinds, damaged or cut short, or with a member that no data set needs:
            a link, a device, an encrypted or sparse file, a path that points outside, a name that is there twice.
        TooLarge: over one of the limits, as counted while reading.
    """
    meter = Meter(limits, path.stat().st_size)
    with path.open("rb") as file:
        head = file.read(_ENOUGH_TO_TELL_BYTES)
        file.seek(0)
        try:
            if head.startswith(_ZIP):
                yield from read_zip(file, meter)
            elif head.startswith(_GZIP):
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield from read_tar(unpacked, meter)
            elif head.startswith(_XZ):
                yield from read_tar(XzStream(file), meter)
            elif is_tar(head):
                yield from read_tar(file, meter)
            else:
                raise InvalidArchive(
                    "the file is not a zip, tar, tar.gz or tar.xz archive",
                    field="archive",
                    remedy="Pack the folders as one of these; renaming another kind is not enough.",
                )
        except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
            raise damaged(str(error)) from error
