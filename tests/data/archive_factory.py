"""Archives of small images, honest and otherwise."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from backports import zstd
from PIL import Image

from noisegate.api.reading import NameEncoding
from noisegate.data.archives import read_archive
from noisegate.data.members import ArchiveLimits, Found, Member
from noisegate.errors import InvalidArchive, NoisegateError

LIMITS = ArchiveLimits()
GIB = 2**30
PACK: dict[str, Callable[[bytes], bytes]] = {
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar.zst": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
}
KINDS = ["zip", "tar", "tar of 1979", *PACK]


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
    if kind == "tar of 1979":
        return write_old_tar(path, files)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:", format=tar_format) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    path.write_bytes(PACK.get(kind, bytes)(data.getvalue()))
    return path


def write_old_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar as Unix version 7 wrote it: no mark, no owner's name, no long names; its regular files have a type of zero."""
    with path.open("wb") as file:
        for name, content in files.items():
            block = bytearray(512)
            fields = (
                name.encode().ljust(100, b"\0"),
                b"0000644\0",
                b"0001750\0" * 2,
                b"%011o " % len(content),
                b"0" * 11,
            )
            block[:147] = b"".join(fields)
            block[148:156] = b" " * 8
            block[148:156] = b"%6o\0 " % sum(block)
            file.write(bytes(block) + content + bytes(-len(content) % 512))
        file.write(bytes(1024))
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


def found_in(path: Path, names: NameEncoding | None = None, limits: ArchiveLimits = LIMITS) -> list[Found]:
    """All that an archive yields; what is unpacked lies in a new folder beside it."""
    return list(read_archive(path, limits, Path(tempfile.mkdtemp(dir=path.parent)), names))


def read(path: Path, limits: ArchiveLimits = LIMITS, names: NameEncoding | None = None) -> dict[str, bytes]:
    """The images of an archive by name."""
    members = [member for member in read_archive(path, limits, path.parent, names) if isinstance(member, Member)]
    return {member.name: bytes(member.content) for member in members}


def refused(
    path: Path,
    words: str,
    error: type[NoisegateError] = InvalidArchive,
    names: NameEncoding | None = None,
    **limits: float,
) -> NoisegateError:
    """Reading must fail in these words, name the field and offer a remedy."""
    with pytest.raises(error, match=words) as caught:
        read(path, ArchiveLimits(**limits), names)  # type: ignore[arg-type]
    assert caught.value.field == "archive"
    assert caught.value.remedy
    return caught.value


@dataclass(frozen=True)
class RawEntry:
    """An entry of a zip as `raw_zip` writes it: its name in bytes, whether it is marked as UTF-8, its extra field."""

    name: bytes
    content: bytes = b"1"
    marked: bool = False
    extra: bytes = b""


def raw_zip(path: Path, entries: Sequence[RawEntry]) -> Path:
    """A zip with names in any encoding, which no library writes."""
    local, directory = b"", b""
    for entry in entries:
        flags, sizes = 0x800 * entry.marked, (len(entry.content), len(entry.content))
        common = (20, flags, 0, 0, 0x21, zlib.crc32(entry.content), *sizes, len(entry.name), len(entry.extra))
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, *common, 0, 0, 0, 0, len(local))
        directory += entry.name + entry.extra
        local += struct.pack("<4s5H3I2H", b"PK\x03\x04", *common) + entry.name + entry.extra + entry.content
    counts = (0, 0, len(entries), len(entries), len(directory), len(local), 0)
    path.write_bytes(local + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", *counts))
    return path


def unicode_path(raw: bytes, name: str) -> bytes:
    """Info-ZIP's extra field for a name in UTF-8 beside `raw`."""
    field = struct.pack("<BI", 1, zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x7075, len(field)) + field
