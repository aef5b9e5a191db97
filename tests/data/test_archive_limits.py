"""Archives that would fill memory or take for ever."""

import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from noisegate.data.members import ArchiveLimits
from noisegate.errors import InvalidArchive, NoisegateError, TooLarge

from .archive_factory import (
    GIB,
    KINDS,
    PACK,
    header,
    read,
    refused,
    write_archive,
)


def test_zip_header_that_hides_a_large_file(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a", {"a/1.png": bytes(50 * 2**20)})
    data = bytearray(path.read_bytes())
    for at in (22, data.index(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<I", 100)
    path.write_bytes(data)
    refused(path, "damaged")


def test_zip_directory_that_lies_about_its_length(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a", {f"a/{index}.png": b"1" for index in range(50)})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x05\x06")
    data[at + 8 : at + 12] = struct.pack("<HH", 1, 1)
    path.write_bytes(data)
    refused(path, "more than 49 files", TooLarge, max_files=49)


def test_a_huge_zip_directory_is_not_built_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a"
    overlapping_zip(path, 60_000)
    tracemalloc.start()
    refused(path, "more than 1,000 files", TooLarge, max_files=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


@pytest.mark.parametrize("kind", KINDS)
def test_limits_are_exact(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / "a", {"a/1.png": b"1" * 600, "a/2.png": b"2"}, kind)
    assert len(read(path, ArchiveLimits(max_files=2, max_member_bytes=600))) == 2
    refused(path, "more than 1 files", TooLarge, max_files=1)
    refused(path, "'a/1.png' has more than 599 bytes", TooLarge, max_member_bytes=599)
    refused(path, "unpacks to more than 500 bytes", TooLarge, max_total_bytes=500)


def many_zeros(path: Path, files: int, mebibytes: int) -> Path:
    """A zip of `files` members of zeros, packed about 1,000 to 1."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(files):
            archive.writestr(f"a/{index}.png", bytes(mebibytes * 2**20))
    return path


def overlapping_zip(path: Path, times: int) -> Path:
    """Many directory entries that share one packed megabyte, as in Fifield's bomb, so 1 MB holds gigabytes."""
    many_zeros(path, 1, 9)
    data = path.read_bytes()
    directory = data.index(b"PK\x01\x02")
    end = data.rindex(b"PK\x05\x06")
    entry = data[directory:end]
    entries = entry * times
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, times, times, len(entries), directory, 0)
    path.write_bytes(data[:directory] + entries + tail)
    return path


def test_zip_bomb_of_many_members(tmp_path: Path) -> None:
    path = many_zeros(tmp_path / "a", 20, 9)
    assert path.stat().st_size < 200_000
    refused(path, "times its size", TooLarge)


def test_zip_bomb_of_one_member(tmp_path: Path) -> None:
    refused(many_zeros(tmp_path / "a", 1, 100), "has more than", TooLarge)


def test_zip_bomb_of_overlapping_members(tmp_path: Path) -> None:
    path = overlapping_zip(tmp_path / "a", 2000)
    assert path.stat().st_size < 150_000
    refused(path, "twice|Overlap", InvalidArchive)


def zero_stream(path: Path, kind: str, head: bytes, gibibytes: int) -> Path:
    """A compressed stream of `head` and then zeros: one packed run of them, repeated."""
    pack = PACK[kind]
    path.write_bytes(pack(head) + pack(bytes(32 * 2**20)) * (gibibytes * 32))
    return path


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize(
    ("name", "type_flag", "words"),
    [
        ("a/1.png", b"0", "has more than"),
        ("a/1.txt", b"0", "times its size"),
        ("a/.hidden", b"0", "times its size"),
        ("a/", b"5", "times its size"),
        ("long", b"L", "extended header"),
        ("pax", b"x", "extended header"),
        ("global", b"g", "extended header"),
    ],
)
def test_tar_bombs(tmp_path: Path, kind: str, name: str, type_flag: bytes, words: str) -> None:
    path = zero_stream(tmp_path / "a", kind, header(name, 12 * GIB, type_flag), 1)
    assert path.stat().st_size < 6 * 2**20
    start = time.process_time()
    refused(path, words, NoisegateError, max_ratio=50)
    assert time.process_time() - start < 5


def test_zeros_after_the_end_count_too(tmp_path: Path) -> None:
    refused(zero_stream(tmp_path / "a", "tar.gz", header("a/1.png", 0), 1), "times its size", TooLarge, max_ratio=50)


# A text is read whole, as it may label images: up to its own limit, of 64 MiB.
@pytest.mark.parametrize(("name", "most_mib"), [("a/1.bin", 20), ("a/1.txt", 200)])
def test_a_bomb_takes_little_memory(tmp_path: Path, name: str, most_mib: int) -> None:
    path = zero_stream(tmp_path / "a", "tar.gz", header(name, 12 * GIB), 1)
    code = (
        "import sys, pathlib\n"
        "from noisegate.errors import TooLarge\n"
        "from noisegate.data.archives import read_archive\n"
        "from noisegate.data.members import ArchiveLimits\n"
        # Not ru_maxrss, which a program inherits from the one that starts it.
        "peak = lambda: int(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "try:\n    list(read_archive(path, ArchiveLimits(max_ratio=1e9, max_total_bytes=2**28), path.parent))\n"
        "except TooLarge:\n    print(peak() - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < most_mib * 1024


def test_pax_header_that_would_stall_a_regular_expression(tmp_path: Path) -> None:
    digits = b"1" * 60_000
    path = tmp_path / "a"
    path.write_bytes(header("p", len(digits), b"x") + digits + bytes(-len(digits) % 512) + bytes(1024))
    start = time.process_time()
    refused(path, "extended header")
    assert time.process_time() - start < 1
