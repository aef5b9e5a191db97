"""Tars that were packed: in several streams, by other programs, damaged, and greedy for memory."""

import bz2
import gzip
import lzma
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from backports import zstd

from .archive_factory import PACK, dataset, header, read, refused, write_archive


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("padding", [0, 8])
def test_several_streams_after_each_other(tmp_path: Path, kind: str, padding: int) -> None:
    tar = write_archive(tmp_path / "a.tar", dataset(), "tar").read_bytes()
    pieces = [tar[:100], tar[100:900], b"", tar[900:]]
    (tmp_path / "a").write_bytes(b"".join(PACK[kind](piece) + bytes(padding) for piece in pieces))
    assert read(tmp_path / "a") == dataset()


@pytest.mark.parametrize("kind", PACK)
def test_streams_that_stop_between_two(tmp_path: Path, kind: str) -> None:
    tar = write_archive(tmp_path / "a.tar", dataset(), "tar").read_bytes()
    (tmp_path / "a").write_bytes(PACK[kind](tar[:2048]))
    refused(tmp_path / "a", "damaged or cut short: it ends before its end marker")


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("rest", [b"rest of another file", b"\x1f\x8b\x08"])
def test_something_else_behind_a_stream(tmp_path: Path, kind: str, rest: bytes) -> None:
    path = write_archive(tmp_path / "a", dataset(), kind)
    path.write_bytes(path.read_bytes() + rest)
    refused(path, "damaged or cut short")


@pytest.mark.parametrize("kind", PACK)
def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / "a", {"a/1.png": random.Random(0).randbytes(2000)}, kind)
    data = path.read_bytes()
    # The first 16 hold what no checksum covers: in gzip the time, the flags and the system.
    for at in range(16, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        refused(path, "damaged or cut short|holds no tar")


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz -9", "xz -T2", "zstd", "zstd --ultra -22", "zstd --no-check"])
def test_reads_what_the_packers_themselves_write(tmp_path: Path, program: str) -> None:
    if shutil.which(program.split()[0]) is None:
        pytest.skip(f"{program} is not installed")
    tar = write_archive(tmp_path / "a.tar", dataset(), "tar")
    packed = subprocess.run([*program.split(), "-c", str(tar)], check=True, capture_output=True).stdout
    (tmp_path / "a").write_bytes(packed)
    assert read(tmp_path / "a") == dataset()


@pytest.mark.parametrize("at_the_end", [False, True])
def test_zstd_frames_without_content_are_skipped(tmp_path: Path, at_the_end: bool) -> None:
    path = write_archive(tmp_path / "a", dataset(), "tar.zst")
    empty = b"\x53\x2a\x4d\x18" + (700).to_bytes(4, "little") + bytes(700)
    path.write_bytes(path.read_bytes() + empty if at_the_end else empty + path.read_bytes())
    assert read(path) == dataset()


def greedy_xz() -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 * 2**20}]
    return lzma.compress(bytes(1024), filters=filters)


def greedy_zstd() -> bytes:
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 28})
    return packer.compress(bytes(1024)) + packer.flush()


@pytest.mark.parametrize("packed", [greedy_xz(), greedy_zstd()], ids=["xz", "zstd"])
def test_a_stream_that_wants_much_memory_is_refused(tmp_path: Path, packed: bytes) -> None:
    (tmp_path / "a").write_bytes(packed)
    refused(tmp_path / "a", "takes more than 128 MiB of memory")


_PEAK = """
import sys, pathlib
from noisegate.data.archives import read_archive
from noisegate.data.members import ArchiveLimits

path = pathlib.Path(sys.argv[1])
# Not ru_maxrss, which a program inherits from the one that starts it.
peak = lambda: int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
for found in read_archive(path, ArchiveLimits(max_ratio=1e9), path.parent):
    pass
print(peak() - before)
"""


@pytest.mark.parametrize("kind", PACK)
def test_memory_stays_flat(tmp_path: Path, kind: str) -> None:
    pack = PACK[kind]
    mebibyte = pack(random.Random(0).randbytes(2**20))
    (tmp_path / "a").write_bytes(pack(header("a/1.dat", 100 * 2**20)) + mebibyte * 100 + pack(bytes(1024)))
    run = subprocess.run([sys.executable, "-c", _PEAK, str(tmp_path / "a")], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 24 * 1024


def test_the_packers_of_the_standard_library_agree(tmp_path: Path) -> None:
    assert (
        gzip.decompress(PACK["tar.gz"](b"1"))
        == bz2.decompress(PACK["tar.bz2"](b"1"))
        == zstd.decompress(PACK["tar.zst"](b"1"))
    )
