"""Archives of small images, honest and otherwise."""

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisegate.data.archives import read_archive
from noisegate.data.members import ArchiveLimits, Member
from noisegate.errors import InvalidArchive, NoisegateError

LIMITS = ArchiveLimits()
GIB = 2**30
PACK: dict[str, Callable[[bytes], bytes]] = {"tar.gz": gzip.compress, "tar.xz": lzma.compress}
KINDS = ["zip", "tar", "tar.gz", "tar.xz"]
_TAR_MODES = {"tar": "w:", "tar.gz": "w:gz", "tar.xz": "w:xz"}


def picture(seed: int, size: int = 8) -> bytes:
    """A PNG of random pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels(seed, size)).save(file, "PNG")
    return file.getvalue()


def pixels(seed: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def dataset(train: int = 3, test: int = 2, classes: tuple[str, ...] = ("cat", "dog")) -> dict[str, bytes]:
    """train/<class>/<n>.png and test/<class>/<n>.png, every image another one."""
    files: dict[str, bytes] = {}
    for split, count in (("train", train), ("test", test)):
        for name in classes:
            for index in range(count):
                files[f"{split}/{name}/{index}.png"] = picture(len(files))
    return files


def write_archive(
    path: Path, files: Mapping[str, bytes], kind: str = "zip", tar_format: int = tarfile.PAX_FORMAT
) -> Path:
    """An archive as Python's own libraries write it."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, _TAR_MODES[kind], format=tar_format) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def write_tar_entry(path: Path, info: tarfile.TarInfo) -> Path:
    """A tar with one entry that has no content."""
    with tarfile.open(path, "w:") as tar:
        tar.addfile(info)
    return path


def header(name: str, size: int, kind: bytes = b"0") -> bytes:
    """One tar header block."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def read(path: Path, limits: ArchiveLimits = LIMITS) -> dict[str, bytes]:
    """The images of an archive by name."""
    members = [member for member in read_archive(path, limits, path.parent) if isinstance(member, Member)]
    return {member.name: bytes(member.content) for member in members}


def refused(path: Path, words: str, error: type[NoisegateError] = InvalidArchive, **limits: float) -> None:
    """Reading must fail in these words, name the field and offer a remedy."""
    with pytest.raises(error, match=words) as caught:
        read(path, ArchiveLimits(**limits))  # type: ignore[arg-type]
    assert caught.value.field == "archive"
    assert caught.value.remedy
