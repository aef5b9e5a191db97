"""What is said of files that are no images of the kinds that are read."""

import pytest

from noisegate.errors import InvalidImage
from noisegate.file_kinds import is_image
from noisegate.inference.decoding import ImageLimits, open_image
from tests.inference.fuzzing import corpus


def refused(data: bytes, words: str) -> None:
    with pytest.raises(InvalidImage, match=words) as caught:
        open_image(data, ImageLimits())
    assert caught.value.field == "image"
    assert caught.value.remedy


STRANGERS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(16), "HEIC photograph, as iPhones write them"),
    "HEIC of several": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC photograph"),
    "video": (b"\0\0\0\x18ftypisom" + bytes(16), "is a video"),
    "raw": (b"\0\0\0\x18ftypcrx " + bytes(16), "raw file of a camera"),
    "SVG": (b'<?xml version="1.0"?>\n<!-- made up -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawing"),
    "web page": (b"\xef\xbb\xbf\n<!DOCTYPE html><title>404 Not Found</title>", "web page"),
    "text": ("überhaupt kein Bild, sondern Text".encode(), "is text"),
    "JSON": (b'{"error": "not found"}', "is text"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "PSD": (b"8BPS\0\1" + bytes(40), "Photoshop"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
    "zip": (b"PK\3\4" + bytes(30), "zip archive"),
    "JPEG XL": (b"\xff\x0a" + bytes(30), "JPEG XL"),
    "DICOM": (bytes(128) + b"DICM" + bytes(30), "DICOM"),
    "PPM": (b"P6\n2 2\n255\n" + bytes(12), "Netpbm"),
    "anything": (b"\x89PNG", "no image of a kind that is read"),
    "bytes": (bytes(range(7, 200)), "no image of a kind that is read"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_other_files_are_refused_by_what_they_are(name: str) -> None:
    data, words = STRANGERS[name]
    refused(data, words)
    assert not is_image(data)


def test_a_text_that_is_cut_within_a_letter_is_text() -> None:
    refused(("a" * 1023 + "ü" * 100).encode(), "is text")


def test_images_are_known_by_their_first_64_bytes() -> None:
    assert all(is_image(file[:64]) for file in corpus())
