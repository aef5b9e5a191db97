"""Archives by the programs that people pack with, or laid out as those programs lay them."""

import io
import os
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.data.archive_factory import RawEntry, raw_zip, write_archive

from .photos import Part, photo
from .rows import Files, Write

SUFFIXES = {
    "PNG": "png",
    "JPEG": "jpg",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "JPEG2000": "jp2",
}


def folders(
    names: str | Sequence[str],
    count: int = 5,
    part: Part | None = None,
    before: str = "",
    kind: str = "PNG",
    inner: str = "",
) -> dict[str, bytes]:
    """`<before><class>/<inner><n>.png` of each class; a text names several."""
    each = names.split() if isinstance(names, str) else names
    return {
        f"{before}{name}/{inner}{number}.{SUFFIXES[kind]}": photo(name, part, number, kind)
        for name in each
        for number in range(count)
    }


def parts(names: str | Sequence[str] = "cat dog", before: str = "", **counts: int) -> dict[str, bytes]:
    """`<part>/<class>/<n>.png`, with a number of images per class for each part: `parts(train=4, test=1)`."""
    found: dict[str, bytes] = {}
    for part, count in counts.items():
        found |= folders(names, count, part, f"{before}{part}/")  # type: ignore[arg-type]
    return found


def flat(
    before: str = "", names: str = "cat dog", count: int = 5, part: Part | None = None, suffix: str = ".png"
) -> dict[str, bytes]:
    """Images of all classes in one folder, under numbers, the classes taking turns."""
    each = names.split()
    return {
        f"{before}{number}{suffix}": photo(each[number % len(each)], part, number)
        for number in range(count * len(each))
    }


def table(files: Files, names: str = "cat dog", header: str = "image,label", mark: str = ",", end: str = "\n") -> bytes:
    """Lines `file,class` for what `flat` made, by base name."""
    each = names.split()
    lines = [f"{path.rpartition('/')[2]}{mark}{each[number % len(each)]}" for number, path in enumerate(files)]
    return end.join([header.replace(",", mark), *lines, ""]).encode()


def zipped(files: Files) -> Write:
    return lambda path: write_archive(path, files, "zip")


def tarred(files: Files, kind: str = "tar", tar_format: int = tarfile.PAX_FORMAT) -> Write:
    return lambda path: write_archive(path, files, kind, tar_format)


def alone(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


def named(files: Files, encoding: str, marked: bool = False) -> Write:
    """A zip whose names stand in `encoding`, with or without the mark for UTF-8."""
    return lambda path: raw_zip(
        path, [RawEntry(name.encode(encoding), content, marked) for name, content in files.items()]
    )


def backslashed(files: Files) -> Write:
    """As Windows PowerShell 5.1's Compress-Archive."""
    return named({name.replace("/", "\\"): content for name, content in files.items()}, "cp437")


def streamed(files: Files) -> Write:
    """As programs write to a pipe: sizes and checksums stand behind each file."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.written += data
            return len(data)

    def write(path: Path) -> None:
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        path.write_bytes(pipe.written)

    return write


def zip64(files: Files) -> Write:
    """With sizes in 64 bits, as programs write that do not know them beforehand."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                with archive.open(name, "w", force_zip64=True) as entry:
                    entry.write(content)

    return write


def self_extracting(files: Files) -> Write:
    """A program before the zip."""

    def write(path: Path) -> None:
        write_archive(path, files, "zip")
        path.write_bytes(b"MZ" + bytes(510) + path.read_bytes())

    return write


def macos(files: Files) -> dict[str, bytes]:
    """What Finder adds: folder settings and resource forks."""
    added: dict[str, bytes] = {}
    for name, content in files.items():
        folder, _, file = name.rpartition("/")
        added |= {f"{folder}/.DS_Store": b"\0\0\0\x01Bud1", name: content}
        added[f"__MACOSX/{folder}/._{file}"] = b"\0\x05\x16\x07" + bytes(60)
    return added


def unpacked(folder: Path, files: Files) -> Path:
    """The files on the disk."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def by_command(files: Files, *command: str) -> Write:
    """By a program that runs in the folder of the files, `OUT` being the archive."""

    def write(path: Path) -> None:
        folder = unpacked(path.with_name("to-pack"), files)
        # Info-ZIP would add a suffix that is not there.
        out = path.with_name("packed.zip")
        words = [str(out) if word == "OUT" else word for word in command]
        subprocess.run(words, cwd=folder, check=True, capture_output=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
        out.rename(path)

    return write


def linked(files: Files, kind: bytes) -> Write:
    """A tar with a link (its type) to the first image."""

    def write(path: Path) -> None:
        write_archive(path, files, "tar")
        with tarfile.open(path, "a:") as tar:
            info = tarfile.TarInfo("cat/link.png")
            info.type, info.linkname = kind, next(iter(files))
            tar.addfile(info)

    return write


def encrypted(files: Files) -> Write:
    """A zip whose entries say that they are."""

    def write(path: Path) -> None:
        write_archive(path, files, "zip")
        content = bytearray(path.read_bytes())
        for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = content.find(magic)
            while place >= 0:
                (flags,) = struct.unpack_from("<H", content, place + at)
                struct.pack_into("<H", content, place + at, flags | 1)
                place = content.find(magic, place + 4)
        path.write_bytes(content)

    return write


def cut(write: Write, share: float) -> Write:
    """The beginning of an archive."""

    def cut_short(path: Path) -> None:
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return cut_short


def joined(*files: Mapping[str, bytes]) -> dict[str, bytes]:
    """All files together; none may stand twice."""
    found: dict[str, bytes] = {}
    for each in files:
        assert found.keys().isdisjoint(each)
        found |= each
    return found
