"""The files that a data set came as, kept as they were: one file of all their bytes, and an index to find each by.

`originals.bin` holds the encoded images one after another in the data set's final order (training before test images).
`originals_index.safetensors` holds, for n images in the data set's final order:

    offsets           int64 [n + 1]   running sum of the images' sizes in bytes
    name_offsets      int64 [n + 1]   where the path of each lies in `names`, uint8, as UTF-8
    key_offsets       int64 [n + 1]   likewise in `keys`: what tells it from others of its class, by which it is shuffled
    longer_sides      int32 [n]       in pixels

A version of another data set (noisegate.data.bases) keeps the files that were added, and shares those of its base. Its index
names them all: file 0 is its own, 1 that of its base, and so on down to the first data set of the chain.

    files             int64 [n]       in which file each image lies
    starts            int64 [n]       where in that file it begins
    file_sizes        int64 [files]   in bytes

Without these, all lie in one file, where `offsets` says. Indexes older than keys and sides are read too.
"""

import io
import mmap
import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

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
        """The image that came as number `index`; those added since `flush` may not be there."""
        return os.pread(self._scratch.fileno(), self.size(index), self._offsets[index])

    def flush(self) -> None:
        """To be called after the last one was added, before any is read."""
        self._scratch.flush()


class Entry(NamedTuple):
    """What the index says of one image.

    Attributes:
        name: the path that it had in its archive.
        key: what tells it from others of its class; None in indexes older than keys.
        longer_side: in pixels; None likewise.
        file, start, size: which file it lies in, and where, in bytes.
    """

    name: str
    key: str | None
    longer_side: int | None
    file: int
    start: int
    size: int


def index_bytes(entries: Sequence[Entry], file_sizes: Sequence[int]) -> bytes:
    """The index of these images, which have keys and sides, in files of these sizes in bytes."""
    arrays = {
        "offsets": _running([entry.size for entry in entries]),
        **_texts("name", [entry.name for entry in entries]),
        **_texts("key", [entry.key or "" for entry in entries]),
        "longer_sides": np.array([entry.longer_side for entry in entries], np.int32),
    }
    if len(file_sizes) > 1:
        arrays["files"] = np.array([entry.file for entry in entries], np.int64)
        arrays["starts"] = np.array([entry.start for entry in entries], np.int64)
        arrays["file_sizes"] = np.array(file_sizes, np.int64)
    index: bytes = safetensors.numpy.save(arrays)
    return index


class Originals:
    """The originals of a data set, mapped into memory: reading one reads only that from the disk.

    Args:
        content: the file of its own.
        shared: the files of its base and of the base's bases, in the order of the index.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: they do not belong together.
    """

    def __init__(self, content: Path, index: Path, shared: Sequence[Path] = ()) -> None:
        arrays = safetensors.numpy.load_file(index)
        offsets: Offsets = arrays["offsets"]
        count = len(offsets) - 1
        self._sizes: Offsets = np.diff(offsets)
        self._names = _Texts(arrays["names"], arrays["name_offsets"])
        self._keys = _Texts(arrays["keys"], arrays["key_offsets"]) if "keys" in arrays else None
        self._sides = arrays.get("longer_sides")
        self._files: Offsets = arrays.get("files", np.zeros(count, np.int64))
        self._starts: Offsets = arrays.get("starts", offsets[:-1])
        self.file_sizes: list[int] = arrays.get("file_sizes", offsets[-1:]).tolist()
        paths = [content, *shared]
        if len(self._names) != count or [path.stat().st_size for path in paths] != self.file_sizes:
            raise ValueError("the index belongs to other originals")
        self._contents = [_mapped(path) for path in paths]

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def sizes(self) -> Offsets:
        """Bytes of each image, int64 [n]."""
        return self._sizes

    def name(self, place: int) -> str:
        """The path that the image had in its archive."""
        return self._names[place]

    def read(self, place: int) -> bytes:
        """The image's file, as it was sent."""
        start = int(self._starts[place])
        return self._contents[int(self._files[place])][start : start + int(self._sizes[place])]

    def entry(self, place: int) -> Entry:
        """All that the index says of an image."""
        return Entry(
            name=self._names[place],
            key=None if self._keys is None else self._keys[place],
            longer_side=None if self._sides is None else int(self._sides[place]),
            file=int(self._files[place]),
            start=int(self._starts[place]),
            size=int(self._sizes[place]),
        )


class _Texts:
    """Texts in UTF-8, one after another."""

    def __init__(self, content: npt.NDArray[np.uint8], offsets: Offsets) -> None:
        self._content, self._offsets = content.tobytes(), offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, place: int) -> str:
        start, stop = (int(offset) for offset in self._offsets[place : place + 2])
        return self._content[start:stop].decode()


def _texts(kind: str, texts: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
    encoded = [text.encode() for text in texts]
    content = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return {f"{kind}_offsets": _running([len(text) for text in encoded]), f"{kind}s": content}


def _mapped(path: Path) -> mmap.mmap | bytes:
    if path.stat().st_size == 0:  # of a version to which nothing was added; an empty file cannot be mapped
        return b""
    with path.open("rb") as opened:
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _running(sizes: Sequence[int]) -> Offsets:
    return np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))]).astype(np.int64)
