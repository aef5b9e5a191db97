"""Images as they are sent: files as they lie on the disk, arrays and Pillow images as PNG."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, Union

from noisegate.client.errors import UnusableFile
from noisegate.client.files import file_chunks, file_size

# A Pillow image or a NumPy array is told by what it can do: neither package is needed otherwise.
Image = Union[str, "PathLike[str]", bytes, Any]


@dataclass(frozen=True)
class Sendable:
    """One image: what it is called, its bytes in all, and where they are."""

    name: str
    size: int
    content: bytes | Path

    def chunks(self) -> Iterator[bytes]:
        """Its content."""
        return iter([self.content]) if isinstance(self.content, bytes) else file_chunks(self.content, self.size)


def sendable(image: Image) -> Sendable:
    """What to send for an image.

    Raises:
        UnusableFile: the file cannot be read, or an array is no image.
        TypeError: it is nothing that could be one.
    """
    if isinstance(image, str | PathLike):
        path = Path(image)
        return Sendable(_name_of(path), file_size(path), path)
    content = image if isinstance(image, bytes) else _png(image)
    return Sendable("image", len(content), content)


def _name_of(path: Path) -> str:
    # A name that is not UTF-8 on this machine's disk is none in a form.
    return path.name.encode(errors="replace").decode()


def _png(image: Any) -> bytes:
    if not hasattr(image, "save"):
        image = _from_array(image)
    written = BytesIO()
    # Little compression: it goes to a service nearby.
    image.save(written, format="PNG", compress_level=1)
    return written.getvalue()


def _from_array(array: Any) -> Any:
    if not hasattr(array, "__array_interface__"):
        kind = type(array).__name__
        raise TypeError(f"an image is a path, bytes, a Pillow image or an array of bytes, and not {kind}")
    shape, kind = array.__array_interface__["shape"], array.__array_interface__["typestr"]
    if kind != "|u1" or not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))) or 0 in shape:
        what = f"an array of shape {tuple(shape)} and type {array.dtype} is no image"
        raise UnusableFile(f"{what}: height × width, or height × width × 3 or 4, of uint8 from 0 to 255.")
    from PIL import Image as pillow  # noqa: N813 (an extra)

    return pillow.fromarray(array)
