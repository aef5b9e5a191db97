"""What a file is: told by its first bytes, and by its suffix only where bytes say too little."""

import re
import struct
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from noisegate.image_kinds import IMAGE_SUFFIXES

HEAD_BYTES = 512

_PNG, _JPEG, _JP2 = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\0\0\0\x0cjP  \r\n\x87\n"
_JPEG_2000_CODESTREAM = b"\xff\x4f\xff\x51"
_GIF, _TIFF = (b"GIF87a", b"GIF89a"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_IMAGES = (_PNG, _JPEG, *_GIF, *_TIFF, _JP2, _JPEG_2000_CODESTREAM)
# Lengths of the header that follows on a BMP's first 14 bytes, by its version. "BM" alone begins many a text.
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

# These are TIFFs whose first picture is a thumbnail, or of a kind of their own.
_RAW_SUFFIXES = {
    ".dng",
    ".nef",
    ".nrw",
    ".arw",
    ".srf",
    ".sr2",
    ".cr2",
    ".cr3",
    ".crw",
    ".pef",
    ".srw",
    ".rw2",
    ".orf",
    ".raf",
    ".3fr",
    ".iiq",
    ".erf",
}
# What systems put into folders by themselves, in lower case. macOS calls the icon of a folder "Icon" and a carriage return.
_TRACES = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin"}
_TEXT_SUFFIXES = {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt", ".cls", ".yaml", ".yml"}
# CIFAR's binary version begins with a label, so only the names of its files tell it.
_CIFAR = ("data_batch_*.bin", "test_batch.bin", "train.bin", "test.bin")
_MOST_IDX_DIMENSIONS = 4

GZIP, XZ, ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
# A level, and then a block or, in a file that holds nothing, the end. "BZh" alone could begin a text.
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and empty
_NPY, _PARQUET = b"\x93NUMPY", b"PAR1"

_KNOWN = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "a zip archive"),
    (0, b"PK\x07\x08", "a part of a split zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, GZIP, "a file packed by gzip"),
    (0, XZ, "a file packed by xz"),
    (0, ZSTD, "a file packed by Zstandard"),
    (0, b"\x04\x22\x4d\x18", "a file packed by LZ4"),
    (0, b"\x1f\x9d", "a file packed by compress"),
    (0, b"\x5d\0\0", "a file packed by LZMA"),
    (0, b"MSCF", "a Cabinet archive"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (0, b"SIMPLE  =", "a FITS image"),
    (128, b"DICM", "a DICOM image"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"PARE", "an encrypted Parquet file"),
    (0, _PARQUET, "a Parquet file"),
    (0, _NPY, "an array of NumPy's"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (8, b"AVI LIST", "a video"),
    (8, b"WAVE", "a sound"),
    (4, b"ftyp", "a video"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ\x90\0", "a program"),
    (0, b"version https://git-lfs", "a Git LFS pointer in the place of a file"),
)
_PNM = re.compile(rb"P[1-7]\s")
_PICKLE = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))
_KNOWN_SUFFIXES = {
    ".svg": "an SVG drawing",
    ".ipynb": "a notebook",
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".tfrecord": "a TFRecord file",
    ".html": "an HTML page",
    ".xml": "an XML file",
}


def is_passed_over(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that systems put in by themselves."""
    return part.startswith(".") or part.lower() in _TRACES


def is_trace(name: str) -> bool:
    """Whether systems put a file in by themselves: thumbnails, and what macOS keeps beside another file under its name."""
    parts = name.split("/")
    return parts[-1].startswith("._") or any(part.lower() in _TRACES for part in parts)


def is_image(head: bytes) -> bool:
    """Whether a file that begins with `head` is a PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF or JPEG 2000."""
    return (
        head.startswith(_IMAGES)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADERS)
        or not _AVIF_BRANDS.isdisjoint(_brands(head))
    )


def has_image_suffix(name: str) -> bool:
    """Whether a file is called an image. One that is none will not decode, and be refused by name."""
    return _suffix(name) in IMAGE_SUFFIXES


def is_camera_raw(name: str) -> bool:
    """Whether a file is called a camera's raw file: decoded as a TIFF, it would be a thumbnail."""
    return _suffix(name) in _RAW_SUFFIXES


def is_text(name: str) -> bool:
    """Whether a file may say what the images beside it are."""
    return _suffix(name) in _TEXT_SUFFIXES


def holds_images(name: str, head: bytes) -> bool:
    """Whether a file holds many images: Parquet, an array of NumPy's, MNIST's idx or CIFAR's binary version."""
    if head.startswith(_NPY) or is_idx(head):
        return True
    if head.startswith(_PARQUET):
        return not is_text(name)  # whose first word this may be
    return any(fnmatchcase(PurePosixPath(name).name, pattern) for pattern in _CIFAR)


def is_idx(head: bytes) -> bool:
    """Whether a file is MNIST's idx, of bytes: two zeros, the type, the number of dimensions."""
    return head[:3] == b"\0\0\x08" and len(head) > 3 and 1 <= head[3] <= _MOST_IDX_DIMENSIONS


def is_zip(head: bytes) -> bool:
    return head.startswith(_ZIP)


def is_bzip2(head: bytes) -> bool:
    return _BZIP2.match(head) is not None


def may_be_npz(head: bytes) -> bool:
    """Whether the first member of a zip is an array of NumPy's, as that of an .npz is."""
    if len(head) < 30 or not is_zip(head):
        return False
    (length,) = struct.unpack_from("<H", head, 26)
    return head[30 : 30 + length].endswith(b".npy")


def describe(name: str, head: bytes) -> str | None:
    """What a file is that is not read, such as `a PDF document`; None if nothing here knows it."""
    if is_camera_raw(name):
        return "a camera's raw file"
    if not _HEIC_BRANDS.isdisjoint(_brands(head)):
        return "a HEIC image"
    if is_tar(head):
        return "a tar archive"
    if is_bzip2(head):
        return "a file packed by bzip2"
    for offset, magic, words in _KNOWN:
        if head.startswith(magic, offset):
            return words
    return _KNOWN_SUFFIXES.get(_suffix(name)) or _describe_text(head)


def is_tar(head: bytes) -> bool:
    """Whether `head`, of 512 bytes, is a header of tar's: by its checksum, as tars of 1979 have no other mark.

    A header with the mark and another checksum is one that was damaged.
    """
    return head[257:262] == b"ustar" or (len(head) >= 512 and tar_checksum(head) == _tar_checksum_said(head))


def tar_checksum(block: bytes) -> int:
    """The sum of a header's bytes, with its own eight as spaces."""
    return sum(block[:148]) + 8 * ord(" ") + sum(block[156:512])


def _tar_checksum_said(block: bytes) -> int | None:
    digits = block[148:156].partition(b"\0")[0].strip()
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None


def _describe_text(head: bytes) -> str | None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if b"<svg" in start:
        return "an SVG drawing"
    if _PNM.match(head):
        return "a PNM image"
    return "a pickle" if head.startswith(_PICKLE) else None


def _brands(head: bytes) -> set[bytes]:
    """What an ISO media file (AVIF, HEIC, MP4) says that it can be read as; empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(struct.unpack_from(">I", head)[0], len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _suffix(name: str) -> str:
    # Of every file: `PurePosixPath` takes ten times as long.
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f"{dot}{suffix}".lower() if stem else ""
