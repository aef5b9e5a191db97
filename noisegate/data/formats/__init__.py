"""Files that hold many images with their labels: Parquet, arrays of NumPy's, MNIST's idx, CIFAR's binary version.

Each format is a `Reader` in `READERS`. Which one a file belongs to is told by its first bytes; CIFAR's, which has no mark, by its
name, and first, for its pixels may begin as another's mark does. One upload is of one format: two could be the same images twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from noisegate.data.formats.arrays import ARRAYS
from noisegate.data.formats.cifar import CIFAR_BINARY
from noisegate.data.formats.idx import IDX
from noisegate.data.formats.parquet import PARQUET
from noisegate.data.formats.readers import Reader
from noisegate.data.members import ArchiveLimits, Collected, LeftOut, Member, Told, refuse

READERS: tuple[Reader, ...] = (PARQUET, ARRAYS, CIFAR_BINARY, IDX)

_HEAD_BYTES = 16


def read_collected(
    files: Sequence[Collected], attachments: Mapping[str, bytes], limits: ArchiveLimits, folder: Path
) -> Iterator[Member | LeftOut | Told]:
    """The images of all files, one in memory at a time; files that no reader knows come as `LeftOut`.

    The order of `files` changes nothing.

    Args:
        folder: where arrays are unpacked to; they stay there.

    Raises:
        InvalidArchive: a file is damaged, or it cannot be told for certain what its images and their labels are.
        TooLarge: over one of the limits.
    """
    taken: dict[str, list[Collected]] = {}
    for file in sorted(files, key=lambda file: file.name):
        reader = _reader_of(file)
        if reader is None:
            yield LeftOut(file.name, "holds images in no form that is read")
        else:
            taken.setdefault(reader.words, []).append(file)
    if len(taken) > 1:
        (first, (one, *_)), (second, (other, *_)), *_ = taken.items()
        what = f"is {first} and {other.name!r} is {second}: these may be the same images twice"
        raise refuse(one.name, what, "Send one of the two.")
    for reader in READERS:
        if reader.words in taken:
            yield from reader.read(taken[reader.words], attachments, limits, folder)


def _reader_of(file: Collected) -> Reader | None:
    with file.path.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
    return next((reader for reader in READERS if reader.owns(file.name, head)), None)
