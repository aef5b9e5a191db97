"""CIFAR's binary versions: rows of a label and 3 × 32 × 32 pixels, the red ones first.

data_batch_1.bin … data_batch_5.bin, test_batch.bin; batches.meta.txt           CIFAR-10: rows of 3,073 bytes
train.bin, test.bin; fine_label_names.txt                                       CIFAR-100: of 3,074, coarse and fine label
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from noisegate.data.formats.fixed_rows import Rows, blocks, check_limits
from noisegate.data.formats.parts import row_name
from noisegate.data.formats.readers import Reader
from noisegate.data.members import ArchiveLimits, Collected, Label, LeftOut, Member, NamedSplit, Told, refuse

_SIDE = 32
_PIXEL_BYTES = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class _Version:
    """One of the two. `classes` counts the values of each label byte; the last label byte is the one that is read."""

    words: str
    files: "re.Pattern[str]"
    classes: tuple[int, ...]
    names_file: str

    @property
    def row_bytes(self) -> int:
        return len(self.classes) + _PIXEL_BYTES


_VERSIONS = (
    _Version(
        "CIFAR-10's binary version", re.compile(r"data_batch_[1-5]\.bin|test_batch\.bin"), (10,), "batches.meta.txt"
    ),
    _Version("CIFAR-100's binary version", re.compile(r"(train|test)\.bin"), (20, 100), "fine_label_names.txt"),
)
_BATCHES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))


def read(
    files: Sequence[Collected],
    attachments: Mapping[str, bytes],
    limits: ArchiveLimits,
    folder: Path,  # noqa: ARG001
) -> Iterator[Member | LeftOut | Told]:
    """The images of all files, called by the names in the text file beside them, or by their numbers without it.

    Raises:
        InvalidArchive: files of both versions or in several folders, or that hold other rows than these.
        TooLarge: over one of the limits.
    """
    version = _version_of(files[0].name)
    beside = PurePosixPath(files[0].name).parent
    for file in files:
        if _version_of(file.name) is not version or PurePosixPath(file.name).parent != beside:
            what = f"and {files[0].name!r} may be two data sets"
            raise refuse(file.name, what, "Send the files of one, in one folder.")
    counts = [_rows(file, version) for file in files]
    check_limits((Rows(file.name, count, _PIXEL_BYTES) for file, count in zip(files, counts, strict=True)), limits)
    names = _class_names(str(beside / version.names_file), attachments, version)
    yield from _told(files, version)
    reached: dict[NamedSplit, int] = {}
    for file, count in zip(files, counts, strict=True):
        split: NamedSplit = "test" if PurePosixPath(file.name).name.startswith("test") else "train"
        yield from _images(file, count, version, names, split, reached.get(split, 0))
        reached[split] = reached.get(split, 0) + count


def _version_of(name: str) -> _Version:
    return next(version for version in _VERSIONS if version.files.fullmatch(PurePosixPath(name).name))


def _rows(file: Collected, version: _Version) -> int:
    size = file.path.stat().st_size
    if size % version.row_bytes:
        what = f"has {size:,} bytes, and {version.words} has rows of {version.row_bytes:,}"
        raise refuse(file.name, what, "Send the whole file, or leave it out if it is something else.")
    return size // version.row_bytes


def _class_names(path: str, attachments: Mapping[str, bytes], version: _Version) -> list[str]:
    count = version.classes[-1]
    if path not in attachments:
        return [str(number) for number in range(count)]
    try:
        names = [line.strip() for line in attachments[path].decode().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise refuse(path, "is no text in UTF-8", "Send it as it was published.") from error
    if len(names) != count or len(set(names)) != count:
        raise refuse(
            path, f"names {len(set(names))} classes of {count}", "Send it as it was published, a class a line."
        )
    return names


def _told(files: Sequence[Collected], version: _Version) -> Iterator[Told]:
    if len(version.classes) > 1:
        yield Told("CIFAR-100's fine labels are the classes; its coarse labels were not used")
    there = {PurePosixPath(file.name).name for file in files}
    missing = [name for name in _BATCHES if name not in there]
    if len(version.classes) == 1 and 0 < len(missing) < len(_BATCHES):
        yield Told(f"of CIFAR-10's training images, {', '.join(missing)} did not come")


def _images(
    file: Collected, count: int, version: _Version, names: Sequence[str], split: NamedSplit, first: int
) -> Iterator[Member]:
    labels = len(version.classes)
    for rows in blocks(count, version.row_bytes):
        start = rows.start * version.row_bytes
        block = np.fromfile(file.path, np.uint8, len(rows) * version.row_bytes, offset=start).reshape(len(rows), -1)
        _check_labels(file, block[:, :labels], version)
        pixels = block[:, labels:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
        for row, label, image in zip(rows, block[:, labels - 1], pixels, strict=True):
            yield Member(row_name(split, first + row), np.ascontiguousarray(image), Label(names[label], split))


def _check_labels(file: Collected, labels: npt.NDArray[np.uint8], version: _Version) -> None:
    """Bytes beyond the classes show that a file is no such thing."""
    if (labels >= np.array(version.classes)).any():
        what = f"has labels that {version.words} does not have"
        raise refuse(file.name, what, "Leave it out, if it is something else.")


def _owns(name: str, head: bytes) -> bool:  # noqa: ARG001
    return any(version.files.fullmatch(PurePosixPath(name).name) for version in _VERSIONS)


CIFAR_BINARY = Reader("a file of CIFAR's binary version", _owns, read)
