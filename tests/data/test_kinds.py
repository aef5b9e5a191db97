"""What becomes of the files in an archive: their first bytes say it."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisegate.data.members import ArchiveLimits, Attachment, Collected, EmptyFolder, Found, LeftOut, Member, Told
from noisegate.errors import InvalidArchive, TooLarge
from noisegate.file_kinds import is_image

from .archive_factory import KINDS, PACK, dataset, found_in, picture, pixels, read, refused, write_archive

IDX = b"\0\0\x08\x03" + np.array([2, 4, 4], ">u4").tobytes() + bytes(range(32))


def image(format_name: str, **options: object) -> bytes:
    """Pillow's file of random pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels(0, 16)).save(file, format_name, **options)
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, pixels(0))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, images=pixels(0), labels=np.arange(3))
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def only(path: Path) -> Found:
    (found,) = found_in(path)
    return found


IMAGES = {
    "PNG": image("PNG"),
    "JPEG": image("JPEG"),
    "WEBP": image("WEBP"),
    "GIF": image("GIF"),
    "BMP": image("BMP"),
    "TIFF": image("TIFF"),
    "BigTIFF": image("TIFF", big_tiff=True),
    "AVIF": image("AVIF"),
    "JPEG 2000": image("JPEG2000"),
    "JPEG 2000 codestream": image("JPEG2000", no_jp2=True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format_name", IMAGES)
def test_an_image_is_one_whatever_it_is_called(tmp_path: Path, kind: str, format_name: str) -> None:
    names = ("a/1", "a/2.dat", "a/3.jfif", "a/4.PNG", "a/5.csv")
    files = dict.fromkeys(names, IMAGES[format_name])
    assert read(write_archive(tmp_path / "a", files, kind)) == files


@pytest.mark.parametrize("brand", [b"avis", b"mif1"])
def test_avif_by_any_of_its_brands(brand: bytes) -> None:
    assert is_image(b"\0\0\0\x1cftyp" + brand + b"\0\0\0\0mif1avifmiaf")
    assert not is_image(b"\0\0\0\x18ftyp" + brand[:2] + b"xx" + b"\0\0\0\0mif1heicavif")  # beyond the box


@pytest.mark.parametrize("suffix", "png jpg jpeg jpe jfif webp gif bmp tif tiff avif jp2 j2k".split())  # noqa: SIM905
@pytest.mark.parametrize("content", [b"", b"words", b"%PDF-1.7", b"\x93NUMPY\x01\0"])
def test_what_is_called_an_image_is_left_to_the_decoder(tmp_path: Path, suffix: str, content: bytes) -> None:
    assert read(write_archive(tmp_path / "a", {f"a/1.{suffix}": content})) == {f"a/1.{suffix}": content}


COLLECTED = {
    "data/train.parquet": b"PAR1\x15\x04" + bytes(90) + b"PAR1",
    "part-0": b"PAR1\x15\x04" + bytes(90) + b"PAR1",
    "x.npy": npy(),
    "called.otherwise": npy(),
    "both.npz": npz(),
    "both": npz(),
    "train-images-idx3-ubyte": IDX,
    "t10k-images.idx3-ubyte": IDX,
    "cifar-10-batches-bin/data_batch_3.bin": b"\x06" + bytes(3072),
    "cifar-10-batches-bin/test_batch.bin": b"\x06" + bytes(3072),
    "cifar-100-binary/train.bin": b"\x06\x07" + bytes(3072),
    "cifar-100-binary/test.bin": b"\x06\x07" + bytes(3072),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_many_images_are_unpacked_under_numbers(tmp_path: Path, kind: str) -> None:
    found = found_in(write_archive(tmp_path / "a", {"readme.md": b"r", **COLLECTED}, kind))[1:]
    assert all(isinstance(file, Collected) for file in found)
    collected = [file for file in found if isinstance(file, Collected)]
    assert {file.name: file.path.read_bytes() for file in collected} == COLLECTED
    assert {file.path.name for file in collected} == {f"unpacked-{number}" for number in range(1, 1 + len(COLLECTED))}


@pytest.mark.parametrize("kind", KINDS)
def test_packed_idx_is_unpacked(tmp_path: Path, kind: str) -> None:
    found = only(write_archive(tmp_path / "a", {"t10k-images-idx3-ubyte.gz": gzip.compress(IDX)}, kind))
    assert isinstance(found, Collected)
    assert (found.name, found.path.read_bytes()) == ("t10k-images-idx3-ubyte.gz", IDX)


def test_packed_idx_that_is_damaged_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(IDX)
    path = write_archive(tmp_path / "a", {"t-idx3-ubyte.gz": packed[:-9] + bytes([packed[-9] ^ 1]) + packed[-8:]})
    refused(path, "'t-idx3-ubyte.gz' cannot be unpacked")
    refused(write_archive(tmp_path / "a", {"t-idx3-ubyte.gz": packed[:-3]}), "'t-idx3-ubyte.gz' cannot be unpacked")


def test_files_of_many_images_are_metered(tmp_path: Path) -> None:
    big = b"\x93NUMPY" + bytes(5000)
    path = write_archive(tmp_path / "a", {"x.npy": big}, "tar")
    assert isinstance(only(path), Collected)
    found_in(path, limits=ArchiveLimits(max_member_bytes=100))
    refused(path, "unpacks to more than", TooLarge, max_total_bytes=4000)
    bomb = write_archive(tmp_path / "b", {"t-idx3-ubyte.gz": gzip.compress(IDX + bytes(100_000))}, "tar")
    refused(bomb, "unpacks to more than", TooLarge, max_total_bytes=90_000)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(COLLECTED["part-0"], id="parquet"),
        pytest.param(npy(), id="npy"),
        pytest.param(npz(), id="npz"),
        pytest.param(IDX, id="idx"),
    ],
)
def test_a_file_of_many_images_may_be_the_upload(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "upload").write_bytes(content)
    assert only(tmp_path / "upload") == Collected("upload", tmp_path / "upload", is_upload=True)


def test_packed_idx_may_be_the_upload(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(gzip.compress(IDX))
    found = only(tmp_path / "upload")
    assert isinstance(found, Collected)
    assert found.path.read_bytes() == IDX


@pytest.mark.parametrize("others", [{"a/1.png": picture(0)}, {"__MACOSX/._x.npy": b"trace"}, {"folder/y.npy": npy()}])
def test_a_zip_that_begins_as_npz_and_is_none(tmp_path: Path, others: dict[str, bytes]) -> None:
    found = found_in(write_archive(tmp_path / "a", {"x.npy": npy(), **others}))
    assert isinstance(found[0], Collected)
    assert found[0].path.read_bytes() == npy()
    nested = write_archive(tmp_path / "b", {"inner.npz": zipped({"x.npy": npy(), **others})}, "tar")
    assert only(nested) == LeftOut("inner.npz", "is a zip archive, which is not read here")
    assert not [path for path in tmp_path.glob("tmp*/*") if path.read_bytes()[:2] == b"PK"]


def test_a_damaged_npz_is_named(tmp_path: Path) -> None:
    refused(write_archive(tmp_path / "a", {"x.npz": npz()[:-10]}, "tar"), "'x.npz' cannot be unpacked")


TEXTS = {
    f"labels.{suffix}": b"text" for suffix in ("csv", "TSV", "json", "jsonl", "ndjson", "txt", "cls", "yaml", "yml")
}


@pytest.mark.parametrize("kind", KINDS)
def test_texts_come_with_their_content(tmp_path: Path, kind: str) -> None:
    texts = {
        **TEXTS,
        "empty.csv": b"",
        "cars.csv": b"BMW,1\n" * 9,
        "par.csv": b"PAR1.jpg,cat\n",
        "big.json": b"1" * 10**6,
    }
    found = found_in(write_archive(tmp_path / "a", texts, kind))
    assert found == [Attachment(name, content) for name, content in texts.items()]


def test_texts_have_limits(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a", {"a.csv": b"1" * 600, "b.csv": b"2" * 600}, "tar")
    refused(path, "'a.csv' is a text of more than 599 bytes", TooLarge, max_text_bytes=599)
    refused(path, "up to 'b.csv', have more than 1,199 bytes", TooLarge, max_text_bytes=600, max_texts_bytes=1199)
    assert len(found_in(path, limits=ArchiveLimits(max_text_bytes=600, max_texts_bytes=1200))) == 2


LEFT_OUT = {
    "a.pdf": (b"%PDF-1.7", "is a PDF document"),
    "a.svg": (b"<?xml version='1.0'?><svg>", "is an SVG drawing, which has no pixels of its own"),
    "drawing": (b"<svg xmlns='http://www.w3.org/2000/svg'>", "is an SVG drawing, which has no pixels of its own"),
    "a.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC photograph, as iPhones write them"),
    "a.mp4": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "is a video"),
    "a.ppm": (b"P6\n16 16\n255\n" + bytes(768), "is a Netpbm image (PBM, PGM, PPM or PAM)"),
    "a.ico": (b"\0\0\1\0\1\0", "is a Windows icon (ICO)"),
    "a.jxl": (b"\xff\x0a\xfa", "is a JPEG XL image"),
    "a.nef": (IMAGES["TIFF"], "is a raw file of a camera"),
    "a.ipynb": (json.dumps({"cells": []}).encode(), "is a notebook"),
    "data_batch_1": (b"\x80\x02}q\x01", "is a pickle"),
    "inner.zip": (zipped({"a/1.png": b"1"}), "is a zip archive, or a document that is one"),
    "inner.rar": (b"Rar!\x1a\x07\x01\0", "is a RAR archive"),
    "inner.gz": (gzip.compress(b"1,2\n"), "is a file packed by gzip"),
    "train.h5": (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
    "pointer.bin": (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer in the place of a file"),
    "notes.md": (b"BMP files were MZ, II and P6", ""),
    "LICENSE": (b"Permission", ""),
    "empty": (b"", ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_else_is_left_out_and_named(tmp_path: Path, kind: str) -> None:
    path = write_archive(tmp_path / "a", {name: content for name, (content, _) in LEFT_OUT.items()}, kind)
    expected = {name: f"{words}, which is not read here" for name, (_, words) in LEFT_OUT.items()}
    expected |= {"notes.md": "is not an image", "LICENSE": "is not an image", "empty": "is empty"}
    assert found_in(path) == [LeftOut(name, why) for name, why in expected.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_systems_put_in_is_passed_over(tmp_path: Path, kind: str) -> None:
    names = ".DS_Store a/._1.png .hidden/1.png __MACOSX/a/1.png a/Thumbs.db a/desktop.ini a/Icon\r a/@eaDir/1.jpg"
    files = dict.fromkeys([*names.split(" "), ".ipynb_checkpoints/a.csv", "folder/"], b"")
    found = found_in(write_archive(tmp_path / "a", files | {"./a/1.png": b"1"}, kind))
    assert found == [
        Member("a/1.png", b"1"),
        EmptyFolder("folder"),
        Told("1 hidden image was passed over, such as '.hidden/1.png'"),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"words", "the file is in no format that is read here"),
        (bytes(1024), "the file is in no format that is read here"),
        (picture(0), "the file is a single image"),
        (b"Rar!\x1a\x07\x00", "the file is a RAR archive, which is not read here"),
        (b"7z\xbc\xaf\x27\x1c", "the file is a 7z archive"),
        (b"<!DOCTYPE html><title>Not found", r"the file is a web page \(HTML\)"),
    ],
)
def test_uploads_that_are_no_archives_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", words)


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"file,class\n" * 100, "is in no format"),
        (picture(0), "is a single image"),
        (zipped(dataset()), "is a zip archive, or a document that is one"),
    ],
)
def test_packed_uploads_that_hold_no_tar_are_named(tmp_path: Path, kind: str, content: bytes, words: str) -> None:
    (tmp_path / "a").write_bytes(PACK[kind](content))
    packer = {"tar.gz": "gzip", "tar.bz2": "bzip2", "tar.xz": "xz", "tar.zst": "Zstandard"}[kind]
    error = refused(tmp_path / "a", f"the file is packed by {packer} and holds no tar: what it holds {words}")
    assert isinstance(error, InvalidArchive)
