"""Names in archives: what was packed comes out, or a refusal, and never another name."""

import functools
import io
import os
import shutil
import subprocess
import tarfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from noisegate.api.reading import NameEncoding
from noisegate.data.members import Told
from noisegate.errors import InvalidArchive
from tests.conftest import examples

from .archive_factory import RawEntry, found_in, raw_zip, read, refused, unicode_path, write_archive, write_tar_entry

ENCODINGS: tuple[NameEncoding, ...] = get_args(NameEncoding)
# What the programs of the time wrote, and what it is called in `names`.
WRITTEN: list[tuple[str, NameEncoding]] = [
    *((encoding, encoding) for encoding in ENCODINGS),
    ("cp932", "shift_jis"),
    ("cp949", "euc_kr"),
    ("cp950", "big5"),
]
SCRIPTS = [
    "Äpfel",
    "Œuvre",
    "čaj",
    "кот",
    "γάτα",
    "猫",
    "ねこ",
    "ﾈｺ",
    "고양이",
    "قط",
    "חתול",
    "แมว",
    "बिल्ली",
    "👩‍🌾",
    "e\u0301",
]


ALL = "".join(chr(code) for code in (*range(0x20, 0xD800), *range(0xE000, 0x10000)))


@functools.cache
def letters(codec: str) -> list[str]:
    """All characters of the Basic Multilingual Plane that an encoding has and that names may have."""
    refused = {char for char in ALL if unicodedata.category(char) == "Cc" or is_bidirectional(char)}
    return sorted(set(ALL.encode(codec, "ignore").decode(codec, "ignore")) - refused - set("/\\\u2028\u2029"))


def words(codec: str) -> st.SearchStrategy[str]:
    """Parts of paths that can be written in an encoding, and are neither hidden nor refused."""
    text = st.text(st.sampled_from(letters(codec)), min_size=1, max_size=6) | st.sampled_from(SCRIPTS)
    return text.filter(lambda word: not word.startswith("."))


def is_bidirectional(char: str) -> bool:
    return "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"


def paths(parts: list[str]) -> list[str]:
    return [f"class/{part}/{index}.png" for index, part in enumerate(parts)]


def spelled(names: list[str]) -> set[str]:
    return {unicodedata.normalize("NFC", name) for name in names}


@contextmanager
def in_doubt_refused() -> Iterator[None]:
    """What was packed comes out, or a refusal because it could be read as something else."""
    try:
        yield
    except InvalidArchive as error:
        assert "more than one reading" in error.detail  # noqa: PT017


property_settings = settings(
    max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@property_settings
@given(written=st.sampled_from(WRITTEN), data=st.data())
def test_a_named_encoding_gives_what_was_packed(
    tmp_path: Path, written: tuple[str, NameEncoding], data: st.DataObject
) -> None:
    codec, names = written
    packed = paths(data.draw(st.lists(words(codec), min_size=1, max_size=4)))
    try:
        entries = [RawEntry(name.encode(codec)) for name in packed]
    except UnicodeEncodeError:
        assume(False)
    with in_doubt_refused():
        assert set(read(raw_zip(tmp_path / "a", entries), names=names)) == spelled(packed)


@property_settings
@given(parts=st.lists(words("utf-8"), min_size=1, max_size=4), marked=st.booleans())
def test_utf8_needs_no_mark(tmp_path: Path, parts: list[str], marked: bool) -> None:
    entries = [RawEntry(name.encode(), marked=marked) for name in paths(parts)]
    assert set(read(raw_zip(tmp_path / "a", entries))) == spelled(paths(parts))


@property_settings
@given(parts=st.lists(words("utf-8"), min_size=1, max_size=4), names=st.sampled_from(ENCODINGS))
def test_a_wrong_encoding_never_changes_names_in_utf8(tmp_path: Path, parts: list[str], names: NameEncoding) -> None:
    path = raw_zip(tmp_path / "a", [RawEntry(name.encode()) for name in paths(parts)])
    with in_doubt_refused():
        assert set(read(path, names=names)) == spelled(paths(parts))


@property_settings
@given(part=words("utf-8"), raw=st.binary(max_size=5))
@example(part="0", raw=b".npy")
def test_info_zips_unicode_path_counts(tmp_path: Path, part: str, raw: bytes) -> None:
    path = raw_zip(tmp_path / "a", [RawEntry(raw, extra=b"UT\1\0x" + unicode_path(raw, f"class/{part}.png"))])
    assert set(read(path)) == spelled([f"class/{part}.png"])


def test_info_zips_unicode_path_of_another_name_does_not_count(tmp_path: Path) -> None:
    extra = unicode_path(b"before/1.png", "früher/1.png")
    assert set(read(raw_zip(tmp_path / "a", [RawEntry(b"later/1.png", extra=extra)]))) == {"later/1.png"}
    damaged = unicode_path(b"a/1.png", "ä/1.png")[:-8] + b"\xff" * 8
    refused(raw_zip(tmp_path / "a", [RawEntry(b"a/1.png", extra=damaged)]), "Unicode path and not in UTF-8|damaged")


@property_settings
@given(
    parts=st.lists(words("utf-8"), min_size=1, max_size=4),
    tar_format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    encoding=st.sampled_from(ENCODINGS),
)
def test_tars_in_every_encoding(tmp_path: Path, parts: list[str], tar_format: int, encoding: NameEncoding) -> None:
    packed = paths(parts)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:", format=tar_format, encoding=encoding) as tar:
        for name in packed:
            try:
                tar.addfile(tarfile.TarInfo(name))
            except UnicodeEncodeError:
                assume(False)
    (tmp_path / "a").write_bytes(data.getvalue())
    with in_doubt_refused():
        assert set(read(tmp_path / "a", names=encoding)) == spelled(packed)
    if encoding == "utf-8" or tar_format == tarfile.PAX_FORMAT:
        assert set(read(tmp_path / "a")) == spelled(packed)


def bytes_of(*names: str, encoding: str) -> list[RawEntry]:
    return [RawEntry(f"{name}/1.png".encode(encoding)) for name in names]


def test_what_is_not_utf8_is_refused_with_its_readings(tmp_path: Path) -> None:
    error = refused(
        raw_zip(tmp_path / "a", bytes_of("Äpfel", "plums", encoding="cp437")), r"'\\x8epfel/1.png' is a name"
    )
    assert "names=cp437 reads 'Äpfel'" in str(error.remedy)
    assert "names=cp1252 reads 'Žpfel'" in str(error.remedy)


def test_an_encoding_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    refused(
        raw_zip(tmp_path / "a", [RawEntry(b"\x8e\xff\xff/1.png")]), "cannot be read as shift_jis", names="shift_jis"
    )


def test_a_name_that_happens_to_be_utf8(tmp_path: Path) -> None:
    """In cp866, `рак` is valid UTF-8. Alone it has two readings; beside another name it has one."""
    alone = raw_zip(tmp_path / "alone", bytes_of("рак", "сад", encoding="cp866"))
    refused(alone, "more than one reading: .* or 'рак/1.png'", names="cp866")
    both = raw_zip(tmp_path / "both", bytes_of("рак", "кот", encoding="cp866"))
    assert set(read(both, names="cp866")) == {"рак/1.png", "кот/1.png"}


def test_a_pax_path_that_says_it_is_bytes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("рак".encode("cp866").decode() + "/1.png")
    path = write_tar_entry(tmp_path / "a", info)
    assert set(read(path, names="cp866")) == {info.name}
    info.pax_headers = {"hdrcharset": "BINARY"}
    refused(write_tar_entry(tmp_path / "a", info), "more than one reading: .* or 'рак/1.png'", names="cp866")


def test_names_that_windows_reads_differently_from_the_standard(tmp_path: Path) -> None:
    refused(
        raw_zip(tmp_path / "a", bytes_of("猫〜犬", encoding="shift_jis")), "more than one reading", names="shift_jis"
    )
    path = raw_zip(tmp_path / "b", bytes_of("①猫", encoding="cp932"))
    assert set(read(path, names="shift_jis")) == {"①猫/1.png"}


def test_which_encoding_was_used_is_told(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a", bytes_of("Äpfel", "Öl", "plums", encoding="cp850"))
    said = "2 names in the archive do not say their encoding and were read as cp850"
    assert found_in(path, "cp850")[-1] == Told(said)
    path = raw_zip(tmp_path / "a", [RawEntry(name.name, marked=True) for name in bytes_of("Äpfel", encoding="utf-8")])
    assert not any(isinstance(found, Told) for found in found_in(path))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_encoding_that_no_name_needed_is_told(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / "a", {"plums/1.png": b"1"}, kind)
    said = "names=cp850 had no effect: the names in it are ASCII, or say their encoding"
    assert found_in(path, "cp850")[-1] == Told(said)
    assert not any(isinstance(found, Told) for found in found_in(path))


def test_a_mark_that_lies(tmp_path: Path) -> None:
    refused(
        raw_zip(tmp_path / "a", [RawEntry(b"\xc4/1.png", marked=True)]), r"'\\xc4/1.png' is marked as UTF-8 and is not"
    )


def test_backslashes_of_powershell(tmp_path: Path) -> None:
    names = [b"train\\cat\\", b"train\\cat\\1.png", b"train/cat\\2.png", b"Thumbs.db", b"a\\Thumbs.db"]
    path = raw_zip(tmp_path / "a", [RawEntry(name) for name in names])
    assert list(read(path)) == ["train/cat/1.png", "train/cat/2.png"]
    twins = raw_zip(tmp_path / "b", [RawEntry(b"a/1.png"), RawEntry(b"a\\1.png")])
    refused(twins, "'a/1.png' is in the archive twice")


def test_a_backslash_that_is_half_a_character(tmp_path: Path) -> None:
    path = raw_zip(tmp_path / "a", bytes_of("表", "猫\\ソ", encoding="cp932"))
    assert set(read(path, names="shift_jis")) == {"表/1.png", "猫/ソ/1.png"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "char", ["\u202f", "\u00a0", "\u200d", "\u200e", "\ufe0f", "\u3000", "\ue000", "\U000e0067", "\ufffd"]
)
def test_characters_that_names_may_have(tmp_path: Path, kind: str, char: str) -> None:
    name = f"class/3.04.05{char}PM.png"
    assert set(read(write_archive(tmp_path / "a", {name: b"1"}, kind))) == {name}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("char", ["\x01", "\t", "\n", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066"])
def test_characters_that_no_name_should_have(tmp_path: Path, kind: str, char: str) -> None:
    path = write_archive(tmp_path / "a", {f"class/1{char}.png": b"1"}, kind)
    refused(path, rf"has a control character \(U\+{ord(char):04X}\) in its name")


@pytest.mark.parametrize("name", [b"", b".", b"./."])
def test_files_without_a_name(tmp_path: Path, name: bytes) -> None:
    refused(raw_zip(tmp_path / "a", [RawEntry(name)]), "is a file without a name")


PROGRAMS = {
    "zip": "zip -qr ../a {}",
    "zip, locale C": "env LC_ALL=C zip -qr ../a {}",
    "zip, as for Windows": "zip -qrk ../a {}",
    "7z to zip": "7z a -tzip ../a {}",
    "7z to tar": "7z a -ttar ../a {}",
    "bsdtar to zip": "bsdtar -a -cf ../a.zip {}",
    "bsdtar": "bsdtar -cf ../a {}",
    "bsdtar to ustar": "bsdtar --format=ustar -cf ../a {}",
    "tar": "tar -cf ../a {}",
    "tar to pax": "tar --format=pax -cf ../a {}",
    "tar to v7": "tar --format=v7 -cf ../a {}",
    "tar to zst": "tar --zstd -cf ../a {}",
    "tar to bz2": "tar -cjf ../a {}",
}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_names_as_other_programs_write_them(tmp_path: Path, program: str, locale: str) -> None:
    command = PROGRAMS[program].split()
    used = next(word for word in command if "=" not in word and word != "env")
    if shutil.which(used) is None:
        pytest.skip(f"{used} is not installed")
    names = {f"set/{part}/{index}.png": str(index).encode() for index, part in enumerate(SCRIPTS)}
    for name, content in names.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / "in" / name).write_bytes(content)
    environment = os.environ | {"LC_ALL": locale}
    made = [word.format("set") for word in command]
    subprocess.run(made, cwd=tmp_path / "in", env=environment, capture_output=True)
    (archive,) = [path for path in tmp_path.iterdir() if path.is_file()]
    expected = {unicodedata.normalize("NFC", name): content for name, content in names.items()}
    if program == "zip, as for Windows":
        refused(archive, "is not in UTF-8")  # it cuts names to eight bytes, within characters
    else:
        assert read(archive) == expected
