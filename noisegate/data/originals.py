"""The files that a data set came as, kept as they were: one file of all their bytes, and an index to find each by.

`originals.bin` holds the encoded images one after another in the data set's final order (training before test images).
`originals_index.safetensors` holds where each lies: `offsets`, int64 [n + 1], the last one being the file's size, and their paths
as UTF-8 in `names`, uint8, between `name_offsets`, int64 [n + 1].
"""

import io
import mmap
import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from PIL import Image

from noisegate.data.members import Member

ORIGINALS_FILE = "originals.bin"
INDEX_FILE = "originals_index.safetensors"

Offsets = npt.NDArray[np.int64]


class Arrivals:
    """Encoded images in the order in which they come, on the disk; memory holds eight bytes of each."""

    def __init__(self, scratch: IO[bytes]) -> None:
        self._scratch = scratch
        self._offsets = array("q", [0])

    def add(self, member: Member) -> None:
        """Keep the image's file; of pixels, a PNG of them."""
        content = member.content if isinstance(member.content, bytes) else _png(member.content)
        self._scratch.write(content)
        self._offsets.append(self._offsets[-1] + len(content))

    def size(self, index: int) -> int:
        """Bytes of the image that came as number `index`."""
        return self._offsets[index + 1] - self._offsets[index]

    def read(self, index: int) -> bytes:
        """The image that came as number `index`."""
        return os.pread(self._scratch.fileno(), self.size(index), self._offsets[index])

    def in_order(self, order: Sequence[int]) -> Iterator[bytes]:
        """The images with these numbers, in this order."""
        self._scratch.flush()
        return (self.read(index) for index in order)


def index_bytes(sizes: Sequence[int], names: Sequence[str]) -> bytes:
    """The index of files with these sizes in bytes and these paths."""
    encoded = [name.encode() for name in names]
    arrays = {
        "offsets": _running(sizes),
        "name_offsets": _running([len(name) for name in encoded]),
        "names": np.frombuffer(b"".join(encoded), dtype=np.uint8),
    }
    index: bytes = safetensors.numpy.save(arrays)
    return index


class Originals:
    """The originals of a data set, mapped into memory: reading one reads only that from the disk.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: the two do not belong together.
    """

    def __init__(self, content: Path, index: Path) -> None:
        arrays = safetensors.numpy.load_file(index)
        self._offsets: Offsets = arrays["offsets"]
        self._name_offsets: Offsets = arrays["name_offsets"]
        self._names: bytes = arrays["names"].tobytes()
        if len(self._offsets) != len(self._name_offsets) or content.stat().st_size != self._offsets[-1]:
            raise ValueError("the index belongs to other originals")
        with content.open("rb") as opened:
            self._content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def name(self, place: int) -> str:
        """The path that the image had in its archive."""
        start, stop = (int(offset) for offset in self._name_offsets[place : place + 2])
        return self._names[start:stop].decode()

    def read(self, place: int) -> bytes:
        """The image's file, as it was sent."""
        start, stop = (int(offset) for offset in self._offsets[place : place + 2])
        return self._content[start:stop]


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _running(sizes: Sequence[int]) -> Offsets:
    return np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))]).astype(np.int64)
