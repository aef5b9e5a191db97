"""What a file is by its first bytes: an image that may be read or, in words, what it is instead.

Names count for nothing here: an iPhone's photograph that was renamed to .jpg is still a HEIC.
"""

import re
import struct
from typing import NamedTuple

from noisegate.image_kinds import IMAGE_KINDS

HEAD_BYTES = 1024

_IMAGES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",  # a codestream of JPEG 2000
)
# Lengths of the header that follows on a BMP's first 14 bytes, by its version. "BM" alone begins many a text.
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


class Stranger(NamedTuple):
    """A kind of file that is not read as an image: `a PDF document`, and what its sender can do."""

    what: str
    remedy: str


_CONVERT = f"Convert it to {IMAGE_KINDS}; renaming it is not enough."
_EXPORT = "Export it as PNG, JPEG or TIFF."
_SAVE = "Save the image as PNG."
_FRAME = "Send one frame as an image of its own."
_UNPACK = "Unpack it and send the images; whole archives are for datasets."
_ITSELF = "Send the image itself."
_RAW = Stranger("a raw file of a camera", "Develop it: export it as JPEG or TIFF.")
_VIDEO = Stranger("a video", _FRAME)
_HEIC = Stranger(
    "a HEIC photograph, as iPhones write them",
    "Send JPEG: on the telephone, Settings, Camera, Formats, Most Compatible; or export the photograph as JPEG.",
)
_SVG_DRAWING = Stranger(
    "an SVG drawing, which has no pixels of its own", "Export it as PNG, in the size that is meant."
)
_WEB_PAGE = Stranger(
    "a web page (HTML)",
    "Look at it in an editor: it may be the error page of a download that failed. Send the image itself.",
)
_NETPBM_IMAGE = Stranger("a Netpbm image (PBM, PGM, PPM or PAM)", _CONVERT)

# Where the bytes stand, the bytes, what the file is and what to do about it; longer ones before shorter ones.
_KNOWN: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"8BPS", "a Photoshop document (PSD)", _EXPORT),
    (0, b"%PDF", "a PDF document", "Export the page or picture as PNG or JPEG."),
    (0, b"%!PS", "a PostScript document", _EXPORT),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document (EPS)", _EXPORT),
    (0, b"gimp xcf", "a GIMP document (XCF)", _EXPORT),
    (0, b"AT&TFORM", "a DjVu document", _EXPORT),
    (0, b"\0\0\1\0", "a Windows icon (ICO)", _CONVERT),
    (0, b"\0\0\2\0", "a Windows cursor (CUR)", _CONVERT),
    (0, b"icns", "a macOS icon (ICNS)", _CONVERT),
    (0, b"\xff\x0a", "a JPEG XL image", _CONVERT),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL image", _CONVERT),
    (0, b"II\xbc\x01", "a JPEG XR image", _CONVERT),
    (0, b"FUJIFILMCCD-RAW", *_RAW),
    (0, b"IIU\0", *_RAW),
    (0, b"IIRO", *_RAW),
    (0, b"IIRS", *_RAW),
    (0, b"MMOR", *_RAW),
    (0, b"v/1\x01", "an OpenEXR image", _CONVERT),
    (0, b"#?RADIANCE", "a Radiance image (HDR)", _CONVERT),
    (0, b"#?RGBE", "a Radiance image (HDR)", _CONVERT),
    (0, b"SIMPLE  =", "an astronomical image (FITS)", _CONVERT),
    (0, b"qoif", "a QOI image", _CONVERT),
    (0, b"DDS ", "a texture (DDS)", _CONVERT),
    (0, b"BPG\xfb", "a BPG image", _CONVERT),
    (0, b"\x8aMNG\r\n\x1a\n", "an animation (MNG)", _FRAME),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows drawing (WMF)", _EXPORT),
    (128, b"DICM", "a medical image (DICOM)", _EXPORT),
    (0, b"\x93NUMPY", "an array of NumPy's", _SAVE),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", _SAVE),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file", _SAVE),
    (0, b"PAR1", "a Parquet file", _SAVE),
    (0, b"PARE", "an encrypted Parquet file", _SAVE),
    (0, b"ARROW1", "an Arrow file", _SAVE),
    (0, b"SQLite format 3\0", "an SQLite database", _SAVE),
    (0, b"PK\3\4", "a zip archive, or a document that is one", _UNPACK),
    (0, b"PK\5\6", "a zip archive", _UNPACK),
    (0, b"PK\7\x08", "a part of a split zip archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"MSCF", "a Cabinet archive", _UNPACK),
    (0, b"\x1f\x8b", "a file packed by gzip", _UNPACK),
    (0, b"\xfd7zXZ\0", "a file packed by xz", _UNPACK),
    (0, b"(\xb5/\xfd", "a file packed by Zstandard", _UNPACK),
    (0, b"\x04\x22\x4d\x18", "a file packed by LZ4", _UNPACK),
    (0, b"\x1f\x9d", "a file packed by compress", _UNPACK),
    (0, b"\x5d\0\0", "a file packed by LZMA", _UNPACK),
    (0, b"\x1aE\xdf\xa3", *_VIDEO),
    (8, b"AVI LIST", *_VIDEO),
    (8, b"WAVE", "a sound", "Send an image."),
    (0, b"\0\5\x16\7", "what macOS keeps beside a file (its name begins with ._)", "Send the file beside it."),
    (0, b"bplist", "a macOS property list", _ITSELF),
    (0, b"\x7fELF", "a program", "Send an image."),
    (0, b"MZ\x90\0", "a program", "Send an image."),
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer in the place of a file",
        "Run git lfs pull, and send the file then.",
    ),
    *((0, b"\x80" + bytes([protocol]), "a pickle", _SAVE) for protocol in range(2, 6)),
)
# A level, and then a block or, in a file that holds nothing, the end. "BZh" alone could begin a text.
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")
_BEFORE = rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*"
_SVG = re.compile(_BEFORE + rb"(<!DOCTYPE svg[^>]*>\s*)?<svg\b", re.DOTALL | re.IGNORECASE)
_HTML = re.compile(_BEFORE + rb"<(!doctype html|html|head|body|title|script)\b", re.DOTALL | re.IGNORECASE)
_NETPBM = re.compile(rb"P[1-7][\s#]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def is_image(head: bytes) -> bool:
    """Whether a file that begins with `head` is a PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF or JPEG 2000; it may be damaged still."""
    return (
        head.startswith(_IMAGES)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:2] == b"BM" and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADERS)
        or not _AVIF_BRANDS.isdisjoint(_brands(head))
    )


def stranger(head: bytes) -> Stranger | None:
    """What a file is that begins with `head` and is none of these images; None if nothing here knows it."""
    head = head[:HEAD_BYTES]
    if head[4:8] == b"ftyp":
        return _of_boxes(head)
    for offset, magic, what, remedy in _KNOWN:
        if head.startswith(magic, offset):
            return Stranger(what, remedy)
    if is_bzip2(head):
        return Stranger("a file packed by bzip2", _UNPACK)
    text = head.removeprefix(_BYTE_ORDER_MARK)
    for pattern, kind in ((_SVG, _SVG_DRAWING), (_HTML, _WEB_PAGE), (_NETPBM, _NETPBM_IMAGE)):
        if pattern.match(text):
            return kind
    return None


def is_bzip2(head: bytes) -> bool:
    """Whether a file is packed by bzip2."""
    return _BZIP2.match(head) is not None


def _of_boxes(head: bytes) -> Stranger:
    if not _HEIC_BRANDS.isdisjoint(_brands(head)):
        return _HEIC
    return _RAW if head[8:12] == b"crx " else _VIDEO


def _brands(head: bytes) -> set[bytes]:
    """What an ISO media file (AVIF, HEIC, MP4) says that it can be read as; empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(struct.unpack_from(">I", head)[0], len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
