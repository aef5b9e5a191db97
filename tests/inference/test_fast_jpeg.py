"""simplejpeg against Pillow: the same pixels of every JPEG, the same refusals, and everything without it."""

import io
import random
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, ImageOps

from noisegate.errors import InvalidImage, TooLarge
from noisegate.inference import fast_jpeg
from noisegate.inference.decoding import ImageLimits, decode_image, decode_with_size, open_image
from noisegate.inference.fitting import scale_factor
from noisegate.spec.derived import Fitting
from tests.inference.fuzzing import cases, exif, first_kinds

Pixels = npt.NDArray[np.uint8]
LIMITS = ImageLimits()
PLAIN = [file for file in first_kinds() if file.startswith(b"\xff\xd8") and fast_jpeg.size_of(file)]


def drawn(draw: random.Random) -> tuple[Image.Image, dict[str, object]]:
    """A picture of 1 to 200 pixels a side, smooth or noisy, colour or gray, and how to save it."""
    size = (draw.randint(1, 200), draw.randint(1, 200))
    generator = np.random.default_rng(draw.randrange(2**32))
    noise = Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    smooth = noise.resize((3, 3), Image.Resampling.BOX).resize(size, Image.Resampling.BICUBIC)
    picture = draw.choice((noise, smooth, Image.blend(noise, smooth, 0.9))).convert(draw.choice(("RGB", "RGB", "L")))
    options: dict[str, object] = {
        "quality": draw.choice((1, 10, 50, 75, 90, 95, 100)),
        "progressive": draw.random() < 0.3,
        "optimize": draw.random() < 0.3,
        "restart_marker_blocks": draw.choice((0, 0, 1, 3)),
    }
    if picture.mode == "RGB":
        options["subsampling"] = draw.choice((0, 1, 2))
    return picture, options


def saved(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


def by_pillow(file: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def outcome(file: bytes, size: int = 32) -> Pixels | str:
    """The pixels, or the code of the refusal."""
    try:
        return decode_image(file, size, LIMITS)
    except (InvalidImage, TooLarge) as error:
        return error.code


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where simplejpeg is not installed."""
    monkeypatch.setattr(fast_jpeg, "simplejpeg", None)


def test_the_same_pixels_as_pillow_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pillow cannot write every progressive JPEG through its usual buffer.
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 2**20)
    draw, seen = random.Random(1), set()
    for _ in range(1000):
        picture, options = drawn(draw)
        file = saved(picture, **options)
        assert fast_jpeg.size_of(file) == picture.size
        np.testing.assert_array_equal(fast_jpeg.decode(file), by_pillow(file), err_msg=f"{picture} {options}")
        seen.add((picture.mode, options["progressive"], options.get("subsampling"), options["restart_marker_blocks"]))
    assert len(seen) == 2 * 3 * 3 + 2 * 3, "every kind took part"


def test_scaled_to_the_same_pixels_as_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 2**20)
    draw, scaled = random.Random(2), 0
    for _ in range(300):
        picture, options = drawn(draw)
        size, orientation = draw.randint(1, 30), draw.randint(1, 8)
        fitting = Fitting(draw.choice(("stretch", "crop", "pad")), decoding="scaled")
        file = saved(picture, **options, exif=exif(orientation))
        quick = decode_image(file, size, LIMITS, fitting)
        with monkeypatch.context() as without:
            without.setattr(fast_jpeg, "simplejpeg", None)
            np.testing.assert_array_equal(quick, decode_image(file, size, LIMITS, fitting), err_msg=f"{options}")
        factor = scale_factor(*picture.size, size, fitting)
        if factor > 1:
            scaled += 1
            lazy = Image.open(io.BytesIO(file))
            lazy.draft(None, (picture.width // factor, picture.height // factor))
            np.testing.assert_array_equal(fast_jpeg.decode(file, factor), np.asarray(lazy.convert("RGB")))
    assert scaled > 100


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("height", "width"), [(30, 50), (32, 32)])
def test_turned_upright_as_pillow_turns(orientation: int, height: int, width: int) -> None:
    generator = np.random.default_rng(orientation)
    picture = Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
    file = saved(picture, exif=exif(orientation))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
    for size in (32, 50):
        expected = np.asarray(upright.resize((size, size), Image.Resampling.BILINEAR))
        pixels, found = decode_with_size(file, size, LIMITS)
        np.testing.assert_array_equal(pixels, expected)
        assert found == upright.size


@pytest.mark.parametrize("colours", ["CMYK", "RGB"])
def test_other_colours_are_left_to_pillow(colours: str) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8), "CMYK")
    file = saved(picture) if colours == "CMYK" else saved(picture.convert("RGB"), keep_rgb=True)
    assert fast_jpeg.size_of(file) is None
    np.testing.assert_array_equal(decode_image(file, 32, LIMITS), by_pillow(file))


def test_damaged_jpegs_fare_as_they_do_without_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [file for _, file in cases(8000, seed=4, files=first_kinds()) if file.startswith(b"\xff\xd8\xff")]
    quick = [outcome(file) for file in files]
    monkeypatch.setattr(fast_jpeg, "simplejpeg", None)
    decoded = 0
    for file, found in zip(files, quick, strict=True):
        expected = outcome(file)
        if isinstance(expected, str) or isinstance(found, str):
            assert found is expected or found == expected, file.hex()
        else:
            decoded += 1
            np.testing.assert_array_equal(found, expected, err_msg=file.hex())
    assert 500 < decoded < len(files) - 500, "many of both kinds took part"


def test_limits_hold_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(Image.new("RGB", (60, 50)))
    for _ in range(2):
        assert open_image(file, ImageLimits(max_pixels=3000)).width == 60
        with pytest.raises(TooLarge, match="60 × 50"):
            open_image(file, ImageLimits(max_pixels=2999))
        monkeypatch.setattr(fast_jpeg, "simplejpeg", None)


@pytest.mark.usefixtures("without")
def test_without_simplejpeg_every_kind_is_decoded() -> None:
    assert len(PLAIN) > 5
    for file in PLAIN:
        assert fast_jpeg.size_of(file) is None
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB").resize((9, 9), 2)
        np.testing.assert_array_equal(decode_image(file, 9, LIMITS), np.asarray(expected))


def test_a_process_in_which_simplejpeg_is_not_installed() -> None:
    script = (
        "import sys, io\n"
        "sys.modules['simplejpeg'] = None\n"
        "from PIL import Image\n"
        "from noisegate.inference import fast_jpeg\n"
        "from noisegate.inference.decoding import ImageLimits, decode_image\n"
        "assert fast_jpeg.simplejpeg is None\n"
        "file = io.BytesIO()\n"
        "Image.new('RGB', (40, 30), (200, 10, 10)).save(file, 'JPEG')\n"
        "assert decode_image(file.getvalue(), 8, ImageLimits()).shape == (8, 8, 3)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
