"""Ways of packing: zips and tars by many writers, names in many encodings, and archives that are refused."""

import lzma
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import pytest

from noisegate.api.reading import Reading
from tests.data.archive_factory import RawEntry, raw_zip, unicode_path, write_archive

from .photos import photo
from .rows import Row, Write, refused, taken
from .writers import (
    alone,
    backslashed,
    by_command,
    cut,
    encrypted,
    folders,
    linked,
    macos,
    named,
    parts,
    self_extracting,
    streamed,
    tarred,
    zip64,
    zipped,
)

PETS = folders("cat dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
FRUIT = folders("Äpfel Birnen")
FRUITS = {"Birnen": (4, 1), "Äpfel": (4, 1)}
UNSAID = r"names in the archive do not say their encoding and were read as "
DECOMPOSED = {unicodedata.normalize("NFD", name): content for name, content in FRUIT.items()}
SCREENSHOT = "dog/Screenshot 2026-11-28 at 9.41.00\u202fPM.png"


def _with_unicode_paths(path: Path) -> None:
    entries = []
    for name, content in FRUIT.items():
        raw = name.encode("cp850")
        entries.append(RawEntry(raw, content, extra=unicode_path(raw, name)))
    raw_zip(path, entries)


def _twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in PETS.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("cat/0.png", photo("dog"))


def _joined(kind: str) -> Write:
    """Two archives after each other in one file, each with classes of its own."""

    def write(path: Path) -> None:
        first = write_archive(path, folders("bus car"), kind).read_bytes()
        path.write_bytes(first + write_archive(path, PETS, kind).read_bytes())

    return write


def _by_method(method: int) -> Write:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in PETS.items():
                archive.writestr(name, content)

    return write


ROWS: list[Row] = [
    taken("zip, as Python writes it", zipped(PETS), FOUR_ONE),
    taken("zip, by Info-ZIP", by_command(PETS, "zip", "-r", "OUT", "."), FOUR_ONE),
    taken(
        "zip by Info-ZIP, stored, umlauts",
        by_command(FRUIT, "zip", "-0", "-r", "OUT", "."),
        FRUITS,
        notes=[f"6 {UNSAID}utf-8"],
    ),
    taken("zip to a pipe", streamed(PETS), FOUR_ONE),
    taken("zip64", zip64(PETS), FOUR_ONE),
    taken("zip by Finder, with resource forks", zipped(macos(PETS)), FOUR_ONE),
    taken("zip by PowerShell 5.1, with backslashes", backslashed(PETS), FOUR_ONE),
    taken("backslashes and a part", backslashed(parts(train=4, test=1)), FOUR_ONE),
    taken("UTF-8 without the mark", named(FRUIT, "utf-8"), FRUITS, notes=[f"5 {UNSAID}utf-8"]),
    taken("UTF-8 with the mark", named(FRUIT, "utf-8", marked=True), FRUITS),
    taken("accents decomposed, as macOS has them", named(DECOMPOSED, "utf-8", marked=True), FRUITS),
    taken("Info-ZIP's Unicode paths beside cp850", _with_unicode_paths, FRUITS),
    refused("cp850, unsaid", named(FRUIT, "cp850"), r"'\\x8epfel/0.png' is a name that is not in UTF-8"),
    taken("cp850, named", named(FRUIT, "cp850"), FRUITS, reading=Reading(names="cp850"), notes=[f"{UNSAID}cp850"]),
    taken(
        "Shift JIS, named",
        named(folders("猫 犬"), "shift_jis"),
        {"犬": (4, 1), "猫": (4, 1)},
        reading=Reading(names="shift_jis"),
        notes=[f"{UNSAID}shift_jis"],
    ),
    refused("Shift JIS, unsaid", named(folders("猫 犬"), "shift_jis"), "is a name that is not in UTF-8"),
    refused("Latin-1 marked as UTF-8", named(FRUIT, "latin-1", marked=True), "is marked as UTF-8 and is not"),
    taken("a screenshot's narrow space", zipped({**PETS, SCREENSHOT: photo("dog")}), {"cat": (4, 1), "dog": (5, 1)}),
    taken("three folders deep", zipped(folders("cat dog", before="home/me/content/pets/")), FOUR_ONE),
    taken("dots before the paths", tarred({f"./{name}": content for name, content in PETS.items()}), FOUR_ONE),
    *(taken(f"tar: {kind}", tarred(FRUIT, kind), FRUITS) for kind in ("tar.gz", "tar.bz2", "tar.xz", "tar.zst")),
    taken("tar of 1979", tarred(PETS, "tar of 1979"), FOUR_ONE),
    taken("ustar", tarred(PETS, "tar", tarfile.USTAR_FORMAT), FOUR_ONE),
    taken("tar by GNU", by_command(FRUIT, "tar", "-cf", "OUT", "."), FRUITS, notes=[f"6 {UNSAID}utf-8"]),
    taken(
        "tar.gz by GNU, long names",
        by_command(folders("cat dog", before=f"{'long/' * 40}"), "tar", "-czf", "OUT", "long"),
        FOUR_ONE,
    ),
    taken("tar.xz by GNU, posix", by_command(FRUIT, "tar", "--format=posix", "-cJf", "OUT", "."), FRUITS),
    taken("tar.zst by GNU", by_command(FRUIT, "tar", "--zstd", "-cf", "OUT", "."), FRUITS, notes=[f"6 {UNSAID}utf-8"]),
    taken("tar by macOS, with its forks", tarred(macos(PETS), "tar.gz"), FOUR_ONE),
    refused("tar with a symbolic link", linked(PETS, tarfile.SYMTYPE), "'cat/link.png' is a symbolic link"),
    refused("tar with a hard link", linked(PETS, tarfile.LNKTYPE), "'cat/link.png' is a hard link"),
    refused(
        "zip with a symbolic link",
        by_command(PETS, "sh", "-c", 'ln -s 0.png cat/link.png && zip -y -r "$0" .', "OUT"),
        "'cat/link.png' is a symbolic link",
    ),
    refused("zip with a password", encrypted(PETS), "'cat/0.png' is encrypted"),
    refused("zip by bzip2", _by_method(zipfile.ZIP_BZIP2), r"'cat/0.png' is packed by an unusual method \(12\)"),
    refused("zip by LZMA", _by_method(zipfile.ZIP_LZMA), r"'cat/0.png' is packed by an unusual method \(14\)"),
    refused("one path twice", _twice, "'cat/0.png' is in the archive twice"),
    refused(
        "accents in both forms",
        named({**FRUIT, **DECOMPOSED}, "utf-8", marked=True),
        "'Äpfel/0.png' is in the archive twice",
    ),
    refused("a path that climbs", zipped({**PETS, "../cat/9.png": photo("cat")}), r"'\.\./cat/9.png' points outside"),
    refused("an absolute path", tarred({**PETS, "/cat/9.png": photo("cat")}), "'/cat/9.png' points outside"),
    refused("a drive", backslashed({**PETS, "C:/cat/9.png": photo("cat")}), "points outside the archive"),
    refused("a backslash in a tar", tarred({**PETS, "cat\\9.png": photo("cat")}), "has a backslash in its path"),
    refused("zip cut short", cut(zipped(PETS), 0.7), "the archive is damaged or cut short"),
    refused("tar.gz cut short", cut(tarred(PETS, "tar.gz"), 0.7), "the archive is damaged or cut short"),
    refused(
        "a program before the zip",
        self_extracting(PETS),
        "the file is in no format that is read here",
    ),
    refused("two zips in one file", _joined("zip"), r"damaged .*: [0-9,]+ bytes lie before its first file, as where"),
    *(
        refused(f"two of {kind} in one file", _joined(kind), "damaged .*: something stands behind its end marker")
        for kind in ("tar", "tar.gz", "tar.zst")
    ),
    refused("7z", alone(b"7z\xbc\xaf\x27\x1c" + bytes(600)), "the file is a 7z archive, which is not read here"),
    refused("RAR", alone(b"Rar!\x1a\x07\x01\0" + bytes(600)), "the file is a RAR archive, which is not read here"),
    refused("nothing at all", alone(b""), "the file is empty"),
    refused("an image alone", alone(photo("cat")), "the file is a single image"),
    refused("text alone", alone(b"image,label\n1.png,cat\n"), "the file is in no format that is read here"),
    refused(
        "xz of an image",
        alone(lzma.compress(photo("cat"))),
        "is packed by xz and holds no tar: what it holds is a single image",
    ),
    refused(
        "a zip in a zip",
        zipped({"pets.zip": b"PK\x03\x04" + bytes(40), "readme.md": b"two pets"}),
        "no images that can be read: 1 file, .zip, was passed over",
    ),
    refused(
        "a packed tar in a zip, for a class",
        zipped({**PETS, "frog/frogs.tar.gz": b"\x1f\x8b\x08" + bytes(600)}),
        "in the place of a class: frog: 1 file, .gz",
    ),
    refused("one class only", zipped(folders("cat")), "the archive has one class only, 'cat'"),
    refused("a class of a single image", zipped({**PETS, "frog/0.png": photo("frog")}), "'frog' has a single image"),
    refused(
        "a class called noise", zipped(folders("cat noise")), "'noise' is reserved for the class that noise images"
    ),
    taken(
        "classes that differ in capitals",
        zipped(folders("cat Cat")),
        {"Cat": (4, 1), "cat": (4, 1)},
        notes=["the classes 'Cat' and 'cat' differ only in capitals"],
    ),
]
