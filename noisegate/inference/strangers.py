"""What a file is that is not read, by its first bytes: people who are told what they sent know what to do.

Names of files count for nothing here: an iPhone's photograph that was renamed to .jpg is still a HEIC.
"""

import re

from noisegate.errors import InvalidImage
from noisegate.image_kinds import IMAGE_KINDS
from noisegate.inference.parts import refuse

_HEAD_BYTES = 1024
_CONVERT = f"Convert it to {IMAGE_KINDS}; renaming it is not enough."
_DOWNLOAD = "Look at it in an editor: it may be the message of a download that failed. Send the image itself."
_EXPORT = "Export it as PNG, JPEG or TIFF."
_UNPACK = "Unpack it and send one image; whole archives are for datasets."
_SHARE = "Send JPEG: on the telephone, Settings, Camera, Formats, Most Compatible; or export the photograph as JPEG."

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_RAW = "is a raw file of a camera"
_RAW_REMEDY = "Develop it: export it as JPEG or TIFF."
# By first bytes, longer ones before shorter ones.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (b"8BPS", "is a Photoshop document (PSD)", _EXPORT),
    (b"%PDF", "is a PDF document", "Export the page or picture as PNG or JPEG."),
    (b"%!PS", "is a PostScript document", _EXPORT),
    (b"\xc5\xd0\xd3\xc6", "is a PostScript document (EPS)", _EXPORT),
    (b"gimp xcf", "is a GIMP document (XCF)", _EXPORT),
    (b"AT&TFORM", "is a DjVu document", _EXPORT),
    (b"\x00\x00\x01\x00", "is a Windows icon (ICO)", _CONVERT),
    (b"\x00\x00\x02\x00", "is a Windows cursor (CUR)", _CONVERT),
    (b"icns", "is a macOS icon (ICNS)", _CONVERT),
    (b"\xff\x0a", "is a JPEG XL image", _CONVERT),
    (b"\x00\x00\x00\x0cJXL ", "is a JPEG XL image", _CONVERT),
    (b"II\xbc\x01", "is a JPEG XR image", _CONVERT),
    (b"FUJIFILMCCD-RAW", _RAW, _RAW_REMEDY),
    (b"IIU\x00", _RAW, _RAW_REMEDY),
    (b"IIRO", _RAW, _RAW_REMEDY),
    (b"IIRS", _RAW, _RAW_REMEDY),
    (b"MMOR", _RAW, _RAW_REMEDY),
    (b"v/1\x01", "is an OpenEXR image", _CONVERT),
    (b"#?RADIANCE", "is a Radiance image (HDR)", _CONVERT),
    (b"#?RGBE", "is a Radiance image (HDR)", _CONVERT),
    (b"SIMPLE  =", "is an astronomical image (FITS)", _CONVERT),
    (b"qoif", "is a QOI image", _CONVERT),
    (b"DDS ", "is a texture (DDS)", _CONVERT),
    (b"BPG\xfb", "is a BPG image", _CONVERT),
    (b"\x8aMNG\r\n\x1a\n", "is an animation (MNG)", "Send one frame as an image of its own."),
    (b"\xd7\xcd\xc6\x9a", "is a Windows drawing (WMF)", _EXPORT),
    (b"\x93NUMPY", "is a NumPy array", "Save the image as PNG."),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file", "Save the image as PNG."),
    (b"PAR1", "is a Parquet table", "Save the image as PNG."),
    (b"PK\x03\x04", "is a zip archive, or a document that is one", _UNPACK),
    (b"\x1f\x8b", "is packed with gzip", _UNPACK),
    (b"\xfd7zXZ\x00", "is packed with xz", _UNPACK),
    (b"BZh", "is packed with bzip2", _UNPACK),
    (b"(\xb5/\xfd", "is packed with Zstandard", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive", _UNPACK),
    (b"Rar!", "is a RAR archive", _UNPACK),
    (b"\x1aE\xdf\xa3", "is a video (Matroska or WebM)", "Send one frame as an image."),
    (b"\x00\x05\x16\x07", "is what macOS keeps beside a file (its name begins with ._)", "Send the file beside it."),
    (b"bplist", "is a macOS property list", "Send the image itself."),
    (b"\x7fELF", "is a program", "Send an image."),
    (b"MZ", "is a program", "Send an image."),
    (
        b"version https://git-lfs",
        "is a pointer of Git LFS, not what it points to",
        "Run git lfs pull, and send the file then.",
    ),
)
_SVG = re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg[^>]*>\s*)?<svg\b", re.DOTALL | re.IGNORECASE)
_HTML = re.compile(
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype html|html|head|body|title|script)\b", re.DOTALL | re.IGNORECASE
)
_NETPBM = re.compile(rb"P[1-7][\s#]")
_DICOM_AT = 128
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def stranger(data: bytes) -> InvalidImage:
    """The refusal of a file that is no image of the kinds that are read: what it is instead, as far as its first bytes say."""
    if not data:
        return refuse(
            "is empty: the file has no bytes", "Send it again; a download or copy that broke off leaves empty files."
        )
    head = data[:_HEAD_BYTES].removeprefix(_BYTE_ORDER_MARK)
    for signature, what, remedy in _SIGNATURES:
        if head.startswith(signature):
            return refuse(what, remedy)
    for recognise in (_of_boxes, _of_chunks, _by_content):
        if found := recognise(head):
            return refuse(*found)
    return refuse("is no image of a kind that is read", _CONVERT)


def _of_boxes(head: bytes) -> tuple[str, str] | None:
    if head[4:8] != b"ftyp":
        return None
    if head[8:12] in _HEIC_BRANDS:
        return "is a HEIC photograph, as iPhones write them", _SHARE
    if head[8:12] == b"crx ":
        return _RAW, _RAW_REMEDY
    return "is a video (MP4 or QuickTime)", "Send one frame as an image."


def _of_chunks(head: bytes) -> tuple[str, str] | None:
    kinds = {b"AVI ": "is a video (AVI)", b"WAVE": "is a sound (WAV)"}
    if head[:4] == b"RIFF" and head[8:12] in kinds:
        return kinds[head[8:12]], "Send an image."
    return None


def _by_content(head: bytes) -> tuple[str, str] | None:
    if _SVG.match(head):
        return "is an SVG drawing, which has no pixels of its own", "Export it as PNG, in the size that is meant."
    if _HTML.match(head):
        return "is a web page (HTML): perhaps the error page of a download that failed", _DOWNLOAD
    if _NETPBM.match(head):
        return "is a Netpbm image (PBM, PGM, PPM or PAM)", _CONVERT
    if head[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        return "is a medical image (DICOM)", _EXPORT
    if _is_text(head):
        return "is text", _DOWNLOAD
    return None


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # A letter that is cut in two at the end of the head is still one.
        return len(head) - error.start < 4 and error.reason == "unexpected end of data"
    return True
