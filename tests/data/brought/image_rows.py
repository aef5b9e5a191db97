"""Kinds of image files, under their own suffixes and others, and files that are none."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from noisegate.api.reading import Reading

from .photos import photo, pixels
from .rows import Row, Write, refused, taken
from .writers import SUFFIXES, folders, joined, tarred, zipped

PETS = folders("cat dog")
FOUR_ONE = {"cat": (4, 1), "dog": (4, 1)}
WITH_FROG = {**FOUR_ONE, "frog": (4, 1)}
SKIP = Reading(bad_images="skip")


def _saved(name: str, number: int, mode: str, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(name, None, number)).convert(mode).save(file, kind, **options)
    return file.getvalue()


def _deep(name: str, number: int) -> bytes:
    """A PNG of 16 bits of gray."""
    file = io.BytesIO()
    Image.fromarray(pixels(name, None, number)[..., 0].astype(np.uint16) * 257).save(file, "PNG")
    return file.getvalue()


def _animated(kind: str) -> bytes:
    file = io.BytesIO()
    frames = [Image.fromarray(pixels("frog", None, number)) for number in (0, 9)]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def _lying(name: str, number: int) -> bytes:
    """A JPEG on its side, with the orientation that turns it upright."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(pixels(name, None, number))).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def _frogs(make: Callable[[str, int], bytes], suffix: str) -> Write:
    """Two classes of PNGs, and a third of what `make` makes."""
    return zipped({**PETS, **{f"frog/{number}{suffix}": make("frog", number) for number in range(5)}})


def _broken(bad: dict[str, bytes]) -> Write:
    good = folders("cat dog", kind="JPEG")
    return zipped({**good, **bad})


BAD = {
    "cat/6.jpg": b"",
    "cat/7.jpg": b"a text",
    "dog/8.jpg": photo("dog", kind="JPEG")[:300],
    "dog/9.jpg": b"<html></html>",
}
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)

ROWS: list[Row] = [
    *(
        taken(f"a class of {kind}", zipped(joined(PETS, folders("frog", kind=kind))), WITH_FROG)
        for kind in SUFFIXES
        if kind != "PNG"
    ),
    taken("BMPs only", zipped(folders("cat dog", kind="BMP")), FOUR_ONE),
    taken("GIFs only, tar.gz", tarred(folders("cat dog", kind="GIF"), "tar.gz"), FOUR_ONE),
    taken("no suffix at all", _frogs(lambda name, number: photo(name, None, number), ""), WITH_FROG),
    taken("PNGs called .jpg", _frogs(lambda name, number: photo(name, None, number), ".jpg"), WITH_FROG),
    taken("JPEGs called .txt", _frogs(lambda name, number: photo(name, None, number, "JPEG"), ".txt"), WITH_FROG),
    taken("capitals", _frogs(lambda name, number: photo(name, None, number, "JPEG"), ".JPG"), WITH_FROG),
    taken("WEBPs called .dat", _frogs(lambda name, number: photo(name, None, number, "WEBP"), ".dat"), WITH_FROG),
    taken("photographs on their side", _frogs(_lying, ".jpg"), WITH_FROG),
    taken("palette", _frogs(lambda name, number: _saved(name, number, "P", "PNG"), ".png"), WITH_FROG),
    taken("CMYK", _frogs(lambda name, number: _saved(name, number, "CMYK", "JPEG", quality=95), ".jpg"), WITH_FROG),
    taken(
        "16 bits of gray",
        zipped({f"{name}/{n}.png": _deep(name, n) for name in "012" for n in range(5)}),
        dict.fromkeys("012", (4, 1)),
    ),
    taken(
        "other sizes and ratios",
        zipped(
            {
                f"{name}/{size}.png": photo(name, None, size, size=size)
                for name in ("cat", "dog")
                for size in (8, 24, 32, 64, 200)
            }
        ),
        FOUR_ONE,
    ),
    refused(
        "bad images, all named",
        _broken(BAD),
        r"4 of 14 images cannot be read: 'cat/6.jpg': the image is empty.*'cat/7.jpg': the image is text.*'dog/8.jpg'.*'dog/9.jpg'",
    ),
    taken(
        "bad images left out on request",
        _broken(BAD),
        FOUR_ONE,
        reading=SKIP,
        left_out=dict.fromkeys(BAD, "cannot be read: the image"),
    ),
    refused(
        "a class of bad images, left out",
        _broken({f"frog/{n}.jpg": b"" for n in range(5)}),
        "in the place of a class: frog: 5 files, all .jpg",
        reading=SKIP,
    ),
    refused("an animated GIF", zipped({**PETS, "frog/0.gif": _animated("GIF")}), "'frog/0.gif': the image is animated"),
    refused(
        "an animated WEBP", zipped({**PETS, "frog/0.webp": _animated("WEBP")}), "'frog/0.webp': the image is animated"
    ),
    refused(
        "a class of HEICs",
        zipped({**PETS, "frog/0.heic": HEIC, "frog/1.heic": HEIC}),
        r"no image can be read from this folder.*frog: 2 files, all \.heic, were passed over "
        r"\('frog/0.heic' is a HEIC photograph, as iPhones write them",
    ),
    refused("a HEIC called .jpg", zipped({**PETS, "frog/0.jpg": HEIC}), "'frog/0.jpg': the image is a HEIC photograph"),
    refused(
        "a class of SVGs", zipped({**PETS, "frog/0.svg": b"<svg xmlns='x'/>"}), "frog: 1 file, .svg, was passed over"
    ),
    refused(
        "a class of raw files",
        zipped({**PETS, "frog/0.dng": photo("frog", kind="TIFF")}),
        "'frog/0.dng' is a raw file of a camera",
    ),
    refused(
        "a class of videos",
        zipped({**PETS, "frog/0.mp4": b"\0\0\0\x18ftypisom" + bytes(90)}),
        "'frog/0.mp4' is a video",
    ),
    refused("a class of pickles", zipped({**PETS, "frog/0.pkl": b"\x80\x04K\x01."}), "'frog/0.pkl' is a pickle"),
    refused(
        "HEICs only", zipped({"cat/0.heic": HEIC, "dog/0.heic": HEIC}), "no images that can be read: 2 files, all .heic"
    ),
    refused(
        "Git LFS pointers",
        zipped({f"{name}/0.png": b"version https://git-lfs.github.com/spec/v1\n" for name in ("cat", "dog")}),
        "2 of 2 images cannot be read: 'cat/0.png': the image is",
    ),
    taken(
        "one HEIC among PNGs",
        zipped({**PETS, "cat/9.heic": HEIC}),
        FOUR_ONE,
        left_out={"cat/9.heic": "is a HEIC photograph, as iPhones write them"},
    ),
    taken(
        "texts beside them",
        zipped({**PETS, "README.md": b"pets", "cat/LICENSE": b"free", "docs/a.md": b"text", "notes.txt": b"text"}),
        FOUR_ONE,
        left_out={
            "README.md": "is not an image",
            "cat/LICENSE": "is not an image",
            "docs/a.md": "is not an image",
            "notes.txt": "was not used",
        },
        notes=["'docs' held no images, only text"],
    ),
    taken(
        "hidden files",
        zipped(
            {
                **PETS,
                ".git/cat.png": photo("dog"),
                "cat/.9.png": photo("dog"),
                "Thumbs.db": b"x",
                "dog/desktop.ini": b"[x]",
            }
        ),
        FOUR_ONE,
        notes=["2 hidden images were passed over, such as '.git/cat.png'"],
    ),
    taken(
        "an image whose name is its suffix",
        zipped({**PETS, "cat/.png": photo("cat")}),
        FOUR_ONE,
        notes=["1 hidden image was passed over, such as 'cat/.png'"],
    ),
    taken(
        "hidden folder called as a class",
        zipped({**PETS, ".ipynb_checkpoints/0-checkpoint.png": photo("frog")}),
        FOUR_ONE,
        notes=["1 hidden image was passed over, such as '.ipynb_checkpoints/0-checkpoint.png'"],
    ),
]
