"""A dataset as a zip of class folders, written while it is sent: no file of it is made, and no path in it is anybody else's."""

import io
import re
import zipfile
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from noisegate.data.originals import Originals
from noisegate.store.packed import PackedArrays

# The same images give the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_PLAIN = re.compile(r"[^\w .+()\[\],=@&'-]")
_CHUNK_BYTES = 2**18
# What a file is, its first bytes tell; endings are for those who read names.
_ENDINGS: Sequence[tuple[bytes, str]] = (
    (b"\x89PNG", "png"),
    (b"\xff\xd8", "jpg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
    (b"RIFF", "webp"),
    (b"\x00\x00\x00\x0cjP", "jp2"),
)


def zipped(packed: PackedArrays, originals: Originals | None, left_out: Collection[int]) -> Iterator[bytes]:
    """`train/<class>/<number>.<ending>` and the same of `test`, in pieces of about 256 KiB.

    Args:
        originals: sent as they came; where there are none, the images as they were packed are sent as PNG.
        left_out: places of training images.
    """
    sink = _Sink()
    folders, without = folder_names(packed.classes), frozenset(left_out)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for place, label in enumerate(packed.labels.tolist()):
            if place in without:
                continue
            content = _png(packed.images[place]) if originals is None else originals.read(place)
            part = "train" if place < packed.train_count else "test"
            name = f"{part}/{folders[label]}/{place:07d}.{_ending(content)}"
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
            if sink.waiting >= _CHUNK_BYTES:
                yield sink.taken()
    yield sink.taken()


def folder_names(classes: Sequence[str]) -> list[str]:
    """A folder for each class: its name, where that is a plain one; what is not plain, or would be alike, gets its number."""
    plain = [_PLAIN.sub("_", name).strip(" .") for name in classes]
    alike = [sum(one.casefold() == other.casefold() for other in plain) > 1 for one in plain]
    return [
        f"class-{number}-{name}".rstrip("-") if twice or not name else name
        for number, (name, twice) in enumerate(zip(plain, alike, strict=True))
    ]


class _Sink(io.RawIOBase):
    """What is written, until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.waiting = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # of any buffer, its base says
        self._parts.append(bytes(data))
        self.waiting += len(self._parts[-1])
        return len(self._parts[-1])

    def taken(self) -> bytes:
        """All that was written since this was last asked."""
        taken = b"".join(self._parts)
        self._parts, self.waiting = [], 0
        return taken


def _ending(content: bytes) -> str:
    if content[4:8] == b"ftyp":
        return "avif"
    return next((ending for magic, ending in _ENDINGS if content.startswith(magic)), "img")


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
