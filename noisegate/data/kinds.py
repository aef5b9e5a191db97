"""What a file is: told by its first bytes, and by its suffix only where bytes say too little."""

import re
import struct
import zlib
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from noisegate.file_kinds import stranger
from noisegate.image_kinds import IMAGE_SUFFIXES

HEAD_BYTES = 512

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
_MANY_SUFFIXES = {".parquet", ".npy", ".npz"}
# CIFAR's binary version begins with a label, so only the names of its files tell it.
_CIFAR = ("data_batch_*.bin", "test_batch.bin", "train.bin", "test.bin")
_MOST_IDX_DIMENSIONS = 4

GZIP, XZ, ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # with members, and empty
_NPY, _PARQUET, _ENCRYPTED_PARQUET = b"\x93NUMPY", b"PAR1", b"PARE"
_LFS_POINTER = b"version https://git-lfs"
_IDX_NAME = re.compile(r"[.-]idx[0-9]-ubyte(\.gz)?$")
_GZIP_HEAD_BYTES = 32

_KNOWN_SUFFIXES = {
    ".svg": "an SVG drawing",
    ".ipynb": "a notebook",
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".tfrecord": "a TFRecord file",
    ".xml": "an XML file",
}


def is_passed_over(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that systems put in by themselves."""
    return part.startswith(".") or part.lower() in _TRACES


def is_trace(name: str) -> bool:
    """Whether systems put a file in by themselves: thumbnails, and what macOS keeps beside another file under its name."""
    parts = name.split("/")
    return parts[-1].startswith("._") or any(part.lower() in _TRACES for part in parts)


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
    if head.startswith(_ENCRYPTED_PARQUET):
        return _suffix(name) == ".parquet"
    if head.startswith(_PARQUET):
        return not is_text(name)  # whose first word this may be
    return _is_cifar(name)


def missing(name: str, head: bytes) -> str | None:
    """What lies in the place of a file that would be read under this name, and is not that file: words that follow on the name.

    It may be the labels of all images, or a part of the data set, so the file is not one to pass over. None for all others.
    """
    if is_lfs_pointer(head) and (is_text(name) or _is_cifar(name) or _is_many(name)):
        return "is a Git LFS pointer in the place of a file"
    if not _is_many(name) or holds_images(name, head) or is_zip(head) or is_packed_idx(head):
        return None
    what = describe("", head)
    it_is = f"is {what}" if what else "begins as no such file does" if head else "is empty"
    return f"is damaged, or another file: by its name it holds images, and it {it_is}"


def is_lfs_pointer(head: bytes) -> bool:
    """Whether a file only says where Git LFS has the file that is meant."""
    return head.startswith(_LFS_POINTER)


def is_packed_idx(head: bytes) -> bool:
    """Whether a file is MNIST's idx, packed by gzip."""
    if not head.startswith(GZIP):
        return False
    try:
        return is_idx(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _GZIP_HEAD_BYTES))
    except zlib.error:
        return False


def _is_many(name: str) -> bool:
    return _suffix(name) in _MANY_SUFFIXES or _IDX_NAME.search(name) is not None


def _is_cifar(name: str) -> bool:
    return any(fnmatchcase(PurePosixPath(name).name, pattern) for pattern in _CIFAR)


def is_idx(head: bytes) -> bool:
    """Whether a file is MNIST's idx, of bytes: two zeros, the type, the number of dimensions."""
    return head[:3] == b"\0\0\x08" and len(head) > 3 and 1 <= head[3] <= _MOST_IDX_DIMENSIONS


def is_zip(head: bytes) -> bool:
    return head.startswith(_ZIP)


def may_be_npz(head: bytes) -> bool:
    """Whether the first member of a zip is an array of NumPy's, as that of an .npz is."""
    if len(head) < 30 or not is_zip(head):
        return False
    (length,) = struct.unpack_from("<H", head, 26)
    return head[30 : 30 + length].endswith(b".npy")


def describe(name: str, head: bytes) -> str | None:
    """What a file is that is not read, such as `a PDF document`; None if nothing here knows it."""
    if is_camera_raw(name):
        return "a raw file of a camera"
    if is_tar(head):
        return "a tar archive"
    found = stranger(head)
    return found.what if found else _KNOWN_SUFFIXES.get(_suffix(name))


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


def _suffix(name: str) -> str:
    # Of every file: `PurePosixPath` takes ten times as long.
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return f"{dot}{suffix}".lower() if stem else ""
