"""The arrays of an `.npz`, which is a zip: unpacked to the disk, for they may be larger than memory."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import mkstemp

from noisegate.data.formats.fixed_rows import cut_short
from noisegate.data.members import ArchiveLimits, Collected, Meter, over_limit, refuse
from noisegate.data.zip_directory import check_packing, open_zip

# A zip's; of zips, only those of arrays are taken for files that hold many images.
NPZ_MAGIC = b"PK\x03\x04"

_CHUNK_BYTES = 2**20
# One name for each thing a data set has; more are none.
_MOST_ARRAYS = 1000


def unpacked(files: Sequence[Collected], limits: ArchiveLimits, folder: Path) -> list[Collected]:
    """All arrays: those of an .npz called `<npz>/<array>.npy` and unpacked into `folder`, and the .npy files as they are.

    Raises:
        InvalidArchive: an .npz is damaged, encrypted or packed by an unusual method.
        TooLarge: over one of the limits.
    """
    arrays: list[Collected] = []
    for file in files:
        arrays += _unpack(file, limits, folder) if _is_npz(file) else [file]
    return arrays


def _is_npz(file: Collected) -> bool:
    with file.path.open("rb") as opened:
        return opened.read(len(NPZ_MAGIC)) == NPZ_MAGIC


def _unpack(file: Collected, limits: ArchiveLimits, folder: Path) -> Iterator[Collected]:
    meter = Meter(limits, file.path.stat().st_size)
    with (
        file.path.open("rb") as opened,
        open_zip(opened, limits.max_files, lambda _: cut_short(file.name)) as archive,
    ):
        if len(archive.infolist()) > _MOST_ARRAYS:
            raise over_limit(f"{file.name!r} holds more than {_MOST_ARRAYS:,} arrays", "Stack the images into one.")
        for entry in archive.infolist():
            # A name only: nothing is written under it.
            name = f"{file.name}/{entry.orig_filename}"
            if not name.isprintable():
                raise refuse(name, "has unprintable characters in its name", "Name the arrays by plain words.")
            meter.enter(name)
            if name.endswith(".npy"):
                yield Collected(name, _write(archive, entry, name, meter, folder))


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, meter: Meter, folder: Path) -> Path:
    check_packing(name, entry)
    descriptor, path = mkstemp(suffix=".npy", dir=folder)
    with os.fdopen(descriptor, "wb") as target, archive.open(entry) as source:
        while chunk := source.read(_CHUNK_BYTES):
            meter.unpack(len(chunk))
            target.write(chunk)
    return Path(path)
