"""Uploads of many images: decoded by a second process, unpacked by a thread ahead, and what comes out is the same."""

import io
import lzma
import tarfile
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from noisegate.api.reading import Reading
from noisegate.data.members import ArchiveLimits
from noisegate.data.packing import PackedDataset, pack
from noisegate.data.streams import Ahead
from noisegate.data.uploads import read_upload
from noisegate.errors import InvalidArchive, InvalidImage
from noisegate.inference.decoding import ImageLimits

# More than are decoded before a second process is started, by several of its batches.
_IMAGES = 2_400
_LIMITS = ImageLimits(max_pixels=100 * 100)
_BROKEN, _LARGE = 1_500, 2_001


def _encoded(number: int) -> bytes:
    """JPEGs and PNGs of several sizes; one is cut short, and one has more pixels than are allowed."""
    if number == _LARGE:
        pixels = np.zeros((120, 120, 3), np.uint8)
    else:
        pixels = np.random.default_rng(number).integers(0, 256, (8 + number % 5, 10, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG" if number % 3 == 0 else "JPEG")
    content = file.getvalue()
    return content[: len(content) // 2] if number == _BROKEN else content


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.tar.xz"
    with tarfile.open(path, "w:xz", preset=0) as archive:
        for number in range(_IMAGES):
            content = _encoded(number)
            entry = tarfile.TarInfo(
                f"{'cat' if number % 2 else 'dog'}/{number:04d}.{'png' if number % 3 == 0 else 'jpg'}"
            )
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def _packed(archive: Path, folder: Path, *, beside: bool, skip: bool = True) -> PackedDataset:
    folder.mkdir()
    reading = Reading(bad_images="skip" if skip else "refuse")
    members = read_upload(archive, ArchiveLimits(), folder)
    return pack(members, 8, folder, lambda _: None, _LIMITS, reading, beside=beside)


def test_a_second_process_makes_the_same_files_and_the_same_report(many: Path, tmp_path: Path) -> None:
    alone, together = (_packed(many, tmp_path / str(beside), beside=beside) for beside in (False, True))
    assert together.content_hash == alone.content_hash
    assert [path.read_bytes() for path in together.paths] == [path.read_bytes() for path in alone.paths]
    assert together.report == alone.report
    assert alone.skipped == 2


def test_what_is_wrong_with_an_image_is_said_in_the_same_words(many: Path, tmp_path: Path) -> None:
    said = []
    for beside in (False, True):
        with pytest.raises(InvalidImage) as refused:
            _packed(many, tmp_path / str(beside), beside=beside, skip=False)
        said.append((refused.value.detail, refused.value.field, refused.value.remedy))
    assert said[0] == said[1]
    assert str(_BROKEN) in said[0][0]


def test_a_second_process_that_dies_is_noticed_and_leaves_no_file(many: Path, tmp_path: Path) -> None:
    def kill(_: int) -> None:
        for child in psutil.Process().children():
            if "noisegate.data.decoding" in child.cmdline():
                child.kill()

    with pytest.raises(RuntimeError, match="ended with exit code -9"):
        pack(_killing(many, tmp_path, kill), 8, tmp_path, lambda _: None, _LIMITS, Reading(bad_images="skip"))
    assert not list(tmp_path.glob("*.npy"))


def _killing(many: Path, folder: Path, kill):  # type: ignore[no-untyped-def]
    for number, member in enumerate(read_upload(many, ArchiveLimits(), folder)):
        if number == 1_200:
            kill(number)
        yield member


def test_no_second_process_is_left(many: Path, tmp_path: Path) -> None:
    before = set(psutil.Process().children())
    _packed(many, tmp_path / "whole", beside=True)
    assert set(psutil.Process().children()) == before


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_stream_that_is_read_ahead_has_the_same_bytes() -> None:
    content = np.random.default_rng(0).bytes(3_000_000)
    with Ahead(io.BytesIO(content)) as ahead:
        pieces = list(iter(lambda: ahead.read(70_001), b""))
        assert ahead.read(1) == b"", "the end stays the end"
    assert b"".join(pieces) == content
    assert "unpacking" not in _threads()


def test_one_that_nobody_reads_to_its_end_ends() -> None:
    with Ahead(io.BytesIO(bytes(50_000_000))) as ahead:
        assert ahead.read(10) == bytes(10)
    assert "unpacking" not in _threads()


def test_damage_is_told_where_its_bytes_would_have_come(tmp_path: Path) -> None:
    class Damaged(io.BytesIO):
        def read(self, count: int | None = -1, /) -> bytes:
            if self.tell() >= 300_000:
                raise lzma.LZMAError("corrupt")
            return super().read(min(count or 0, 100_000))

    with Ahead(Damaged(bytes(400_000))) as ahead:
        assert sum(len(ahead.read(100_000)) for _ in range(3)) == 300_000
        with pytest.raises(lzma.LZMAError):
            ahead.read(1)


def test_a_damaged_archive_is_refused_as_before(many: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(many.read_bytes()[:-1000])
    with pytest.raises(InvalidArchive, match="ends before its end marker"):
        _packed(cut, tmp_path / "cut", beside=True)
    assert "unpacking" not in _threads()
