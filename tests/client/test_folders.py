"""What the command finds in a folder, and the tar that it makes of it. Oracles: tarfile, and the service's own reader."""

import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from noisegate.api.dataset_report import ClassFound
from noisegate.client.errors import UnusableFile
from noisegate.client.files import FolderTar
from noisegate.client.folders import find_images
from noisegate.client.walking import FoundFile, walk
from noisegate.data.archives import read_archive
from noisegate.data.layouts import Contents, resolve_layout
from noisegate.data.members import ArchiveLimits, Member
from noisegate.data.packing import pack
from noisegate.data.uploads import read_upload
from noisegate.image_kinds import IMAGE_KINDS
from noisegate.inference.decoding import ImageLimits
from tests.client.images import fill, two_classes
from tests.data.brought import inner_rows
from tests.data.brought.rows import Row, taken
from tests.data.brought.writers import tarred

LONG = "a" * 90 + "/" + "b" * 180 + ".png"


def packed(folder: Path) -> bytes:
    tar = FolderTar(find_images(folder).files)
    made = b"".join(tar.chunks())
    assert len(made) == tar.total
    return made


def test_images_by_class_and_what_is_left_out(tmp_path: Path) -> None:
    files = [
        "b/2.JPG",
        "b/1.png",
        "a/x.webp",
        "a/y.jpeg",
        "a/raw.heic",
        "a/raw2.HEIC",
        "notes",
        ".git/c.png",
        "b/.h.png",
    ]
    found = find_images(fill(tmp_path, dict.fromkeys(files, b"12")))
    assert [file.member for file in found.files] == ["a/x.webp", "a/y.jpeg", "b/1.png", "b/2.JPG"]
    assert found.counts == {"train": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}
    assert set(found.left_out) == {"a/raw.heic", "a/raw2.HEIC", "notes"}
    assert found.hidden == 2


@pytest.mark.parametrize("below", ["", "mine/"])
def test_folders_that_say_the_split(tmp_path: Path, below: str) -> None:
    files = ["train/a/1.png", "train/b/1.png", "train/b/2.png", "test/a/1.png"]
    found = find_images(fill(tmp_path, {below + file: b"1" for file in files}))
    assert found.counts == {"train": {"a": 1, "b": 2}, "test": {"a": 1}}
    assert found.classes == ["a", "b"]


def nothing(_: Path) -> None:
    pass


def empty_class(folder: Path) -> None:
    (two_classes(folder) / "fox").mkdir()


def only_other_kinds(folder: Path) -> None:
    fill(two_classes(folder), {"fox/1.heic": b"1", "fox/2.heic": b"1"})


def pointer(folder: Path) -> None:
    fill(two_classes(folder), {"labels.csv": b"version https://git-lfs.github.com/spec/v1\n"})


def flat(folder: Path) -> None:
    fill(folder, {"1.png": b"1", "2.png": b"1"})


def too_deep(folder: Path) -> None:
    fill(two_classes(folder), {"cat/2024/1.png": b"1"})


def beside_the_classes(folder: Path) -> None:
    fill(two_classes(folder), {"cover.png": b"1"})


def one_class(folder: Path) -> None:
    fill(folder, {"cat/1.png": b"1", "cat/2.png": b"1"})


def one_photograph(folder: Path) -> None:
    fill(two_classes(folder), {"fox/1.png": b"1"})


def link_back(folder: Path) -> None:
    (two_classes(folder) / "cat" / "more").symlink_to(folder)


def dangling_link(folder: Path) -> None:
    (two_classes(folder) / "cat" / "9.png").symlink_to(folder / "gone.png")


def link_to_itself(folder: Path) -> None:
    (two_classes(folder) / "fox").symlink_to(folder / "fox")


def pipe(folder: Path) -> None:
    os.mkfifo(two_classes(folder) / "cat" / "9.png")


def line_break(folder: Path) -> None:
    fill(two_classes(folder), {"cat/a\nb.png": b"1"})


def no_utf_8(folder: Path) -> None:
    two_classes(folder)
    Path(os.fsdecode(os.fsencode(folder / "cat") + b"/\xff.png")).write_bytes(b"1")


def accents_twice(folder: Path) -> None:
    fill(two_classes(folder), {f"cat/{unicodedata.normalize(form, 'é.png')}": b"1" for form in ("NFC", "NFD")})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nothing, "the folder holds no images. Arrange the images as train/<class>/<image>"),
        (empty_class, f"fox holds no {IMAGE_KINDS} files. Add images, or take the folder out."),
        (only_other_kinds, "in the place of a class: fox: 2 files, all .heic, were passed over"),
        (pointer, "labels.csv is a Git LFS pointer in the place of a file. Fetch the whole of it"),
        (flat, "'1.png' and 1 other image lie in no class folder"),
        (too_deep, "'cat/2024/1.png' lies deeper than a class folder"),
        (beside_the_classes, "'cover.png' lies in no class folder"),
        (one_class, "has one class only, 'cat'. A classifier needs two or more"),
        (one_photograph, "'fox' has a single image"),
        (link_back, "more is a link that leads back to a folder above it"),
        (dangling_link, "9.png is a link that leads nowhere"),
        (link_to_itself, "fox is a link that leads nowhere"),
        (pipe, "9.png is no file"),
        (line_break, "has a control character (U+000A) in its name. Rename it."),
        (no_utf_8, "is called by bytes that are not UTF-8"),
        (accents_twice, "but for the spelling of its accents"),
    ],
)
def test_a_folder_to_train_on_nothing_from(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path)
    with pytest.raises(UnusableFile) as caught:
        find_images(tmp_path)
    assert words in str(caught.value)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="gone cannot be read: No such file"):
        find_images(tmp_path / "gone")


def test_links_to_images_elsewhere_are_followed(tmp_path: Path) -> None:
    two_classes(tmp_path / "real")
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen" / "cat").symlink_to(tmp_path / "real" / "cat")
    fill(tmp_path / "chosen", {"dog/1.png": b"1"})
    (tmp_path / "chosen" / "dog" / "2.png").symlink_to(tmp_path / "real" / "dog" / "1.png")
    assert find_images(tmp_path / "chosen").counts == {"train": {"cat": 2, "dog": 1}, "test": {"cat": 1, "dog": 1}}


def test_a_walk_goes_on_past_what_it_cannot_read(tmp_path: Path) -> None:
    dangling_link(tmp_path)
    link_back(tmp_path / "below")
    walked = walk(tmp_path)
    assert len(walked.files) == 12
    assert len(walked.problems) == 2


def test_the_tar_holds_the_images_and_the_service_reads_it(tmp_path: Path) -> None:
    names = {"käse/ü.png": b"1" * 700, LONG: b"22", "a" * 90 + "/2.png": b"", "käse/2.png": b"3" * 512}
    made = packed(fill(tmp_path / "images", names))
    with tarfile.open(fileobj=io.BytesIO(made)) as tar:
        held = {member.name: member for member in tar.getmembers()}
        assert list(held) == sorted(names)
        for name, content in names.items():
            file = tar.extractfile(held[name])
            assert file
            assert file.read() == content
    archive = tmp_path / "made"
    archive.write_bytes(made)
    read = [member for member in read_archive(archive, ArchiveLimits(), archive.parent) if isinstance(member, Member)]
    assert {member.name: member.content for member in read} == names
    assert resolve_layout(Contents([member.name for member in read], [None] * len(read))).classes == ("a" * 90, "käse")


def test_the_same_images_are_the_same_bytes(tmp_path: Path) -> None:
    first = two_classes(tmp_path / "first")
    second = tmp_path / "second"
    for file in sorted(first.rglob("*.png"), reverse=True):
        fill(second, {file.relative_to(first).as_posix(): file.read_bytes()})
        os.utime(second / file.relative_to(first), (1, 1))
        (second / file.relative_to(first)).chmod(0o600)
    assert packed(first) == packed(second)
    fill(second, {"cat/0.png": b"other"})
    assert packed(first) != packed(second)


def test_accents_are_the_same_bytes_on_every_system(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        fill(two_classes(tmp_path / form), {unicodedata.normalize(form, "é/1.png"): b"1", "é/2.png": b"2"})
    composed, apart = tmp_path / "NFC", tmp_path / "NFD"
    assert {path.name for path in composed.iterdir()} != {path.name for path in apart.iterdir()}
    assert [file.member for file in walk(composed).files] == [file.member for file in walk(apart).files]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file"),
        (lambda path: path.write_bytes(b"longer than it was" * 100), "was changed while it was sent"),
        (lambda path: path.write_bytes(b""), "was changed while it was sent"),
    ],
)
def test_a_file_that_changes_while_it_is_sent(tmp_path: Path, change: Callable[[Path], object], words: str) -> None:
    tar = FolderTar(find_images(two_classes(tmp_path)).files)
    change(tmp_path / "dog" / "1.png")
    with pytest.raises(UnusableFile) as caught:
        list(tar.chunks())
    assert "1.png" in str(caught.value)
    assert words in str(caught.value)


def test_a_large_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    tar = FolderTar([FoundFile("a/large.png", large, 64 * 2**20)])
    tracemalloc.start()
    sent = sum(len(chunk) for chunk in tar.chunks())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sent == tar.total
    assert peak < 2 * 2**20


def brought(row: Row, folder: Path) -> list[ClassFound]:
    """What the service finds in a folder that holds what the archive of a row holds, sent as the command sends it."""
    (folder / "sent").mkdir()
    row.write(folder / "archive")
    for found in read_members(folder / "archive"):
        fill(folder / "sent", {found[0]: found[1]})
    images = find_images(folder / "sent")
    assert images.counts is None, "only the service can look into these files"
    (folder / "tar").write_bytes(b"".join(FolderTar(images.files).chunks()))
    (folder / "out").mkdir()
    members = read_upload(folder / "tar", ArchiveLimits(), folder)
    return pack(members, 8, folder / "out", lambda _: None, ImageLimits()).report.classes


def read_members(archive: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(archive) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar if member.isfile()]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["WebDataset: shards in a tar", "a tar of the test part"])
def test_tars_in_a_folder_are_read_as_those_in_an_archive(tmp_path: Path, name: str) -> None:
    row = next(row for row in inner_rows.ROWS if row.name == name)
    assert {one.name: (one.train, one.test) for one in brought(row, tmp_path)} == row.classes


def test_mnists_packed_files_in_a_folder_are_read_as_those_in_an_archive(tmp_path: Path) -> None:
    files = {name: gzip.compress(content) for name, content in mnist().items()}
    row = taken("MNIST", tarred(files), {})
    assert [(one.name, one.train, one.test) for one in brought(row, tmp_path)] == [
        ("0", 4, 2),
        ("1", 4, 2),
        ("2", 4, 2),
    ]


def mnist() -> dict[str, bytes]:
    found = {}
    for part, count in (("train", 12), ("t10k", 6)):
        labels = np.arange(count, dtype=np.uint8) % 3
        images = np.random.default_rng(count).integers(0, 256, (count, 8, 8), np.uint8)
        found[f"{part}-images-idx3-ubyte.gz"] = struct.pack(">4I", 0x803, count, 8, 8) + images.tobytes()
        found[f"{part}-labels-idx1-ubyte.gz"] = struct.pack(">2I", 0x801, count) + labels.tobytes()
    return found


@pytest.mark.parametrize("files", [["cat/1.png"], ["cat/1.png", "cat/2.png"], ["new/cat/1.png", "new/dog/1.png"]])
def test_what_a_base_makes_enough_is_left_to_the_service(tmp_path: Path, files: list[str]) -> None:
    folder = fill(tmp_path, dict.fromkeys(files, b"1"))
    with pytest.raises(UnusableFile):
        find_images(folder)
    found = find_images(folder, has_base=True)
    assert ([file.member for file in found.files], found.counts) == (files, None)
