"""MNIST's idx files, unpacked: `train-images-idx3-ubyte` with `train-labels-idx1-ubyte`, and `t10k-…` or `test-…` likewise.

Pixels are read as they stand in the file, as torchvision reads them: those of EMNIST lie on their side there.
"""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noisegate.data.formats.fixed_rows import Rows, blocks, check_limits
from noisegate.data.formats.parts import Pair, paired, part_of, row_name
from noisegate.data.formats.readers import Reader
from noisegate.data.members import ArchiveLimits, Collected, Label, LeftOut, Member, Told, refuse

# Two zeros, the type (8: unsigned bytes), then the number of dimensions.
_MAGIC = b"\0\0\x08"
_IMAGE_DIMENSIONS = 3
_LABEL_DIMENSIONS = 1
_NAMES = "Name the files as MNIST does: train-images-idx3-ubyte and train-labels-idx1-ubyte, t10k-images-idx3-ubyte and so on."
_EMNIST = "emnist"


@dataclass(frozen=True)
class _IdxFile:
    name: str
    path: Path
    shape: tuple[int, ...]
    offset: int


def read(
    files: Sequence[Collected],
    attachments: Mapping[str, bytes],  # noqa: ARG001
    limits: ArchiveLimits,
    folder: Path,  # noqa: ARG001
) -> Iterator[Member | LeftOut | Told]:
    """The images of all files; their labels are the numbers in the other file.

    Raises:
        InvalidArchive: files that do not go together, or of another size than their headers say.
        TooLarge: over one of the limits.
    """
    for file in files:
        if part_of(file.name).role is None:
            raise refuse(file.name, "says neither images nor labels in its name", _NAMES)
    pairs, copies = paired(files)
    yield from copies
    opened = [(pair, _open(pair.images, _IMAGE_DIMENSIONS), _open(pair.labels, _LABEL_DIMENSIONS)) for pair in pairs]
    for _, images, labels in opened:
        _check(images, labels)
    check_limits(
        (Rows(images.name, images.shape[0], 3 * math.prod(images.shape[1:])) for _, images, _ in opened), limits
    )
    if any(_EMNIST in pair.images.name.lower() for pair in pairs):
        yield Told("EMNIST's images were read as they stand in its files: each is transposed, rows for columns")
    for pair, images, labels in opened:
        yield from _images(pair, images, labels)


def _open(file: Collected, dimensions: int) -> _IdxFile:
    offset = 4 + 4 * dimensions
    with file.path.open("rb") as opened:
        head = opened.read(offset)
    if head[3:4] != bytes([dimensions]):
        what = f"has {head[3]} dimensions; images have {_IMAGE_DIMENSIONS} and labels {_LABEL_DIMENSIONS}"
        raise refuse(file.name, what, _NAMES)
    shape = struct.unpack(f">{dimensions}I", head[4:]) if len(head) == offset else ()
    held = file.path.stat().st_size - len(head)
    if not shape or math.prod(shape) != held:
        what = f"holds {held:,} values, and its header says {' × '.join(map(str, shape)) or 'nothing'}"
        raise refuse(file.name, what, "Unpack it again, and send all of it.")
    return _IdxFile(file.name, file.path, shape, offset)


def _check(images: _IdxFile, labels: _IdxFile) -> None:
    count, height, width = images.shape
    if labels.shape[0] != count:
        what = f"has {labels.shape[0]:,} labels for the {count:,} images of {images.name!r}"
        raise refuse(labels.name, what, "Send the labels that belong to these images.")
    if not height * width:
        raise refuse(images.name, f"has images of {height} × {width} pixels", "Send images with pixels.")


def _images(pair: Pair, images: _IdxFile, labels: _IdxFile) -> Iterator[Member]:
    count, height, width = images.shape
    numbers = np.fromfile(labels.path, np.uint8, count, offset=labels.offset)
    for rows in blocks(count, height * width):
        start = images.offset + rows.start * height * width
        block = np.fromfile(images.path, np.uint8, len(rows) * height * width, offset=start)
        for row, gray in zip(rows, block.reshape(len(rows), height, width), strict=True):
            pixels = np.repeat(gray[:, :, np.newaxis], 3, axis=2)
            yield Member(row_name(pair.split, row), pixels, Label(str(numbers[row]), pair.split))


def _owns(name: str, head: bytes) -> bool:  # noqa: ARG001
    return head.startswith(_MAGIC) and 1 <= head[3] <= 4


IDX = Reader("an idx file", _owns, read)
