import struct
import subprocess
import tarfile
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noisegate.data.archives import read_archive
from noisegate.data.members import Told
from noisegate.errors import InvalidArchive, TooLarge
from tests.conftest import examples

from .archive_factory import (
    GIB,
    KINDS,
    LIMITS,
    PACK,
    dataset,
    header,
    picture,
    read,
    refused,
    write_archive,
    write_tar_entry,
)


@pytest.mark.parametrize("kind", KINDS)
def test_members_come_whole_and_in_order(tmp_path: Path, kind: str) -> None:
    files = dataset() | {"train/cat/empty.png": b"", "train/cat/block.png": bytes(range(256)) * 2}
    path = write_archive(tmp_path / "named.bin", files, kind)
    found = read(path)
    assert found == files
    assert list(found) == list(files)


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a/b.png", f"{'d' * 90}/{'e' * 90}.png", "größe/ü.png", f"ü/{'猫' * 30}.png"])
def test_every_way_of_writing_long_names(tmp_path: Path, tar_format: int, name: str) -> None:
    path = write_archive(tmp_path / "a.tar", {name: b"1", "second/s.png": b"2"}, "tar", tar_format)
    assert read(path) == {name: b"1", "second/s.png": b"2"}


def test_very_long_names(tmp_path: Path) -> None:
    name = "/".join(["folder" * 10] * 20) + ".png"
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert read(write_archive(tmp_path / "a.tar", {name: b"1"}, "tar", tar_format)) == {name: b"1"}


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=ustar"], ["--format=posix"], ["-z"], ["-J"]])
def test_reads_what_the_tar_command_writes(tmp_path: Path, options: list[str]) -> None:
    files = dataset(1, 1)
    for name, content in files.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(content)
    subprocess.run(["tar", "-cf", "a.tar", *options, "-C", "set", "."], cwd=tmp_path, check=True)
    assert read(tmp_path / "a.tar") == files


@pytest.mark.parametrize("kind", KINDS)
def test_paths_come_in_one_spelling(tmp_path: Path, kind: str) -> None:
    found = read(write_archive(tmp_path / "a", {"./a//b/./1.png": b"1", "cafe\u0301/1.png": b"2"}, kind))
    assert found == {"a/b/1.png": b"1", "caf\u00e9/1.png": b"2"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "../1.png",
        "a/../../1.png",
        "a/../1.png",
        "/etc/1.png",
        "C:/1.png",
        "c:1.png",
        "./c:/1.png",
        "\u212a:/1.png",
        "..\\1.png",
        "a\\..\\..\\1.png",
        "a/..\\../1.png",
        "\\\\server\\share\\1.png",
        "c:\\1.png",
        "a\n/1.png",
    ],
)
def test_paths_that_lead_elsewhere(tmp_path: Path, kind: str, name: str) -> None:
    words = "points outside|has a backslash in its path|control character"
    refused(write_archive(tmp_path / "a", {name: b"1"}, kind), words)
    refused(write_archive(tmp_path / "a", {"a/1.png": b"1", name + ".txt": b"1"}, kind), words)


def test_a_zero_byte_in_a_zip_name(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a", {"a/1.png": b"1"})
    path.write_bytes(path.read_bytes().replace(b"a/1.png", b"a/\x00.png"))
    refused(path, "control character .U.0000.")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("second", ["a/1.png", "./a/1.png", "a//1.png"])
def test_a_name_that_is_there_twice(tmp_path: Path, kind: str, second: str) -> None:
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        if second == "a/1.png":
            path = write_twice(tmp_path / "a", kind)
        else:
            path = write_archive(tmp_path / "a", {"a/1.png": b"1", second: b"2"}, kind)
    refused(path, "'a/1.png' is in the archive twice")


def write_twice(path: Path, kind: str) -> Path:
    write_archive(path, {"a/1.png": b"1", "a/2.png": b"2"}, "tar" if kind in PACK else kind, tarfile.USTAR_FORMAT)
    data = path.read_bytes()
    if kind != "zip":
        block = bytearray(data[1024:1536])
        block[: len("a/1.png")] = b"a/1.png"
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        data = data[:1024] + bytes(block) + data[1536:]
    else:
        data = data.replace(b"a/2.png", b"a/1.png")
    path.write_bytes(PACK[kind](data) if kind in PACK else data)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
        (tarfile.GNUTYPE_SPARSE, "sparse"),
        (b"V", "of a kind"),
    ],
)
def test_tar_entries_that_are_no_files(tmp_path: Path, kind: bytes, words: str) -> None:
    info = tarfile.TarInfo("a/1.png")
    info.type = kind
    info.linkname = "/etc/passwd"
    refused(write_tar_entry(tmp_path / "a", info), words)


def test_sparse_files_in_pax_headers(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a/1.png")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "a/1.png"}
    refused(write_tar_entry(tmp_path / "a", info), "sparse")


@pytest.mark.parametrize(("mode", "words"), [(0o120777, "symbolic link"), (0o020644, "no regular file")])
def test_zip_entries_that_are_no_files(tmp_path: Path, mode: int, words: str) -> None:
    info = zipfile.ZipInfo("a/1.png")
    info.external_attr = mode << 16
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "a", words)


def test_encrypted_zip_entries(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a", {"a/1.png": b"1"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(path, "'a/1.png' is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_zip_methods(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w", method) as archive:
        archive.writestr("a/1.png", b"1" * 100)
    refused(tmp_path / "a", "unusual method")


def end_of_content(data: bytes, kind: str) -> int:
    """Where a cut stops mattering: after the last byte, but for a tar after its two closing blocks."""
    return (
        len(data.rstrip(b"\0")) // 512 * 512 + 512 + 1024 if kind.startswith("tar") and kind not in PACK else len(data)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_cut_anywhere_is_refused(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / "a", dataset(), kind)
    data = path.read_bytes()
    end = end_of_content(data, kind)
    for length in {*range(0, end, max(1, end // 300)), *range(end - 40, end), *range(0, end, 512)}:
        path.write_bytes(data[:length])
        with pytest.raises(InvalidArchive):
            read(path)


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), data=st.data())
def test_damage_never_gives_anything_but_our_errors(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    path = write_archive(tmp_path / "a", {"train/cat/1.png": b"1" * 700, "train/cat/2.png": b"2"}, kind)
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    with suppress(InvalidArchive, TooLarge):
        read(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    for kind in ("zip", *PACK):
        path = write_archive(tmp_path / "a", dataset(), kind)
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(data)
        refused(path, "damaged")


@pytest.mark.parametrize("claimed", [1, 5, 2000])
def test_zip_headers_that_lie_about_sizes(tmp_path: Path, claimed: int) -> None:
    path = write_archive(tmp_path / "a", {"a/1.png": b"1" * 1000})
    data = bytearray(path.read_bytes())
    for at in (22, data.index(b"PK\x01\x02") + 24):
        data[at : at + 4] = struct.pack("<I", claimed)
    path.write_bytes(data)
    refused(path, "damaged|header claims")


@pytest.mark.parametrize("size", [b"-0000000001\0", b"0000_000001\0", b"99999999999\0", b"\xff" * 12, b"\0" * 12])
def test_tar_sizes_that_are_no_numbers(tmp_path: Path, size: bytes) -> None:
    block = bytearray(header("a/1.png", 0))
    block[124:136] = size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "a").write_bytes(bytes(block) + bytes(1024))
    refused(tmp_path / "a", "malformed")


def test_a_pax_size_of_thousands_of_digits(tmp_path: Path) -> None:
    digits = b"9" * 5000
    record = b"%d size=%s\n" % (len(digits) + 11, digits)
    padded = record + bytes(-len(record) % 512)
    (tmp_path / "a").write_bytes(header("p", len(record), b"x") + padded + header("a/1.png", 0) + bytes(1024))
    refused(tmp_path / "a", "malformed")


def test_a_binary_tar_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(header("a/1.png", 9 * GIB) + bytes(1024))
    refused(tmp_path / "a", "more than 10,485,760 bytes", TooLarge)


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a", {"a/1.png": b"1", "a/2.png": b"2"}, "tar")
    data = bytearray(path.read_bytes())
    data[1024] ^= 1
    path.write_bytes(data)
    refused(path, "checksum")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_hidden_images_are_told_and_what_macos_keeps_beside_files_is_not(tmp_path: Path, kind: str) -> None:
    files = dataset() | {
        ".thumbs/cat/1.png": picture(90),
        "train/cat/.2.jpg": picture(91),
        "train/cat/._0.png": b"kept by macOS",
        "__MACOSX/train/cat/0.png": b"kept by macOS",
        "train/.DS_Store": b"kept by macOS",
    }
    found = list(read_archive(write_archive(tmp_path / "a", files, kind), LIMITS, tmp_path))
    told = [one.sentence for one in found if isinstance(one, Told)]
    assert told == ["2 hidden images were passed over, such as '.thumbs/cat/1.png'"]
    assert len(found) == len(dataset()) + 1
