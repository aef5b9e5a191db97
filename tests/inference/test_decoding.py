import contextlib
import io
import struct
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from noisegate.errors import InvalidImage, NoisegateError, TooLarge
from noisegate.inference.decoding import ImageLimits, decode_image, open_image, resize_pixels
from noisegate.inference.fitting import scale_factor
from noisegate.spec.derived import Fitting, Resize
from tests.conftest import examples

Pixels = npt.NDArray[np.uint8]
LIMITS = ImageLimits()
RED, WHITE = (255, 0, 0), (255, 255, 255)
NOISE = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(data: bytes, size: int = 4) -> Pixels:
    return decode_image(data, size, LIMITS)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG written by hand: `rows` hold a filter byte (0) each."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body + chunk(b"IEND", b"")


def gray16(*levels: int) -> bytes:
    """A square of 16-bit gray levels, row by row."""
    side = int(len(levels) ** 0.5)
    rows = [levels[start : start + side] for start in range(0, len(levels), side)]
    return b"".join(b"\x00" + struct.pack(f">{side}H", *row) for row in rows)


def refused(data: bytes, words: str, error: type[NoisegateError] = InvalidImage) -> None:
    with pytest.raises(error, match=words) as caught:
        decode(data)
    assert caught.value.field == "image"
    assert caught.value.remedy


@pytest.mark.parametrize("options", [{"kind": "PNG"}, {"kind": "WEBP", "lossless": True}])
def test_lossless_pixels_come_back_exactly(options: dict[str, object]) -> None:
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(NOISE), **options)), NOISE)  # type: ignore[arg-type]


def test_jpeg_is_what_pillow_reads() -> None:
    data = encoded(Image.fromarray(NOISE), "JPEG", quality=95)
    np.testing.assert_array_equal(decode(data), np.asarray(Image.open(io.BytesIO(data))))


def test_result_is_writable_uint8_rgb() -> None:
    pixels = decode(encoded(Image.fromarray(NOISE)))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, 4, 3)
    pixels[:] = 0


@pytest.mark.parametrize("shape", [(9, 5), (3, 3), (40, 41), (4, 7), (1, 1)])
def test_resized_as_pillow_resizes(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    expected = np.asarray(image.resize((4, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode(encoded(image)), expected)
    np.testing.assert_array_equal(resize_pixels(pixels, 4), expected)


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (28, 24)])
def test_cropped_is_the_middle_of_the_whole_with_its_shorter_side_resized(width: int, height: int) -> None:
    image, share = picture(width, height), 12 / min(width, height)
    whole = image.resize((round(width * share), round(height * share)), Image.Resampling.BILINEAR)
    left, top = (whole.width - 12) // 2, (whole.height - 12) // 2
    expected = np.asarray(whole.crop((left, top, left + 12, top + 12))).astype(int)
    found = decode_image(encoded(image), 12, LIMITS, Fitting("crop"))
    assert np.abs(found - expected).max() <= 1


def test_cropped_lies_in_the_middle_to_half_a_pixel() -> None:
    image = picture(41, 20)
    mirrored = ImageOps.mirror(image)
    one, other = (decode_image(encoded(each), 10, LIMITS, Fitting("crop")).astype(int) for each in (image, mirrored))
    assert np.abs(one - other[:, ::-1]).max() <= 1


@pytest.mark.parametrize(("width", "height", "inner"), [(40, 20, (12, 6)), (20, 40, (6, 12)), (300, 7, (12, 1))])
def test_padded_is_the_whole_in_the_middle_of_gray(width: int, height: int, inner: tuple[int, int]) -> None:
    image = picture(width, height)
    found = decode_image(encoded(image), 12, LIMITS, Fitting("pad"))
    left, top = (12 - inner[0]) // 2, (12 - inner[1]) // 2
    place = slice(top, top + inner[1]), slice(left, left + inner[0])
    np.testing.assert_array_equal(found[place], np.asarray(image.resize(inner, Image.Resampling.BILINEAR)))
    around = np.ones((12, 12), bool)
    around[place] = False
    assert (found[around] == 128).all()


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_a_square_of_the_right_size_stays_as_it_is(resize: Resize) -> None:
    image = picture(12, 12)
    np.testing.assert_array_equal(decode_image(encoded(image), 12, LIMITS, Fitting(resize)), np.asarray(image))


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (28, 24)])
def test_bicubic_is_pillows(width: int, height: int) -> None:
    image = picture(width, height)
    stretched = decode_image(encoded(image), 12, LIMITS, Fitting(interpolation="bicubic"))
    np.testing.assert_array_equal(stretched, np.asarray(image.resize((12, 12), Image.Resampling.BICUBIC)))
    left, top = (width - min(width, height)) // 2, (height - min(width, height)) // 2
    square = image.crop((left, top, width - left, height - top))
    cropped = decode_image(encoded(image), 12, LIMITS, Fitting("crop", "bicubic"))
    whole_pixels = np.asarray(square.resize((12, 12), Image.Resampling.BICUBIC)).astype(int)
    # What lies beyond the square takes part at its rim.
    assert np.abs(cropped - whole_pixels)[4:-4, 4:-4].max() <= 1


@pytest.mark.parametrize("share", [0.5, 0.75])
@pytest.mark.parametrize(("width", "height"), [(40, 24), (24, 40), (32, 32)])
def test_a_crop_share_is_that_much_of_the_sides_about_the_middle(width: int, height: int, share: float) -> None:
    # Levels that rise by one a pixel: a box's mean level is that at its middle, whatever the filter.
    rising = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (height, width, 3))
    data = encoded(Image.fromarray(np.ascontiguousarray(rising)))
    side = min(width, height)
    ways: list[tuple[Resize, int]] = [("stretch", width), ("crop", side)]
    for resize, used in ways:
        found = decode_image(data, 8, LIMITS, Fitting(resize, crop_share=share))[0, :, 0].astype(float)
        step = used * share / 8
        expected = (width - used * share) / 2 + step * (np.arange(8) + 0.5) - 0.5
        assert np.abs(found - expected).max() <= 0.51 + (step < 1)


def test_a_square_of_the_right_size_is_cropped_too() -> None:
    image = picture(12, 12)
    inner = image.resize((12, 12), Image.Resampling.BILINEAR, box=(3, 3, 9, 9))
    for kind in ("PNG", "JPEG"):
        data = encoded(image if kind == "PNG" else inner, kind, quality=100)
        found = decode_image(data, 12, LIMITS, Fitting(crop_share=0.5))
        assert not np.array_equal(found, decode_image(data, 12, LIMITS))
    np.testing.assert_array_equal(decode_image(encoded(image), 12, LIMITS, Fitting(crop_share=0.5)), np.asarray(inner))


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_images_are_turned_upright_before_they_are_fitted(resize: Resize) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(30, 12), "JPEG", exif=exif, quality=100)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    again = decode_image(encoded(upright), 8, LIMITS, Fitting(resize))
    np.testing.assert_array_equal(decode_image(data, 8, LIMITS, Fitting(resize)), again)


def test_shrinking_averages() -> None:
    # One white pixel of 32×32 would vanish, or fill a whole pixel, without antialiasing.
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = decode(encoded(Image.fromarray(stripes)))[:, 1:3]
    assert ((inner > 100) & (inner < 155)).all()


def test_gray() -> None:
    levels = np.array([[0, 80], [160, 255]], np.uint8)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(levels)), 2), np.stack([levels] * 3, axis=2))


def test_black_and_white() -> None:
    data = png(2, 2, 1, 0, b"\x00\x80\x00\x40")
    np.testing.assert_array_equal(decode(data, 2)[:, :, 0], [[255, 0], [0, 255]])


def test_16_bit_gray_is_scaled_and_not_clipped() -> None:
    data = png(2, 2, 16, 0, gray16(0, 65535, 257 * 100, 257 * 100 + 129))
    np.testing.assert_array_equal(decode(data, 2), [[[0] * 3, [255] * 3], [[100] * 3, [101] * 3]])


def test_16_bit_gray_with_a_transparent_level() -> None:
    data = png(2, 2, 16, 0, gray16(1000, 2570, 2571, 0), chunk(b"tRNS", struct.pack(">H", 2570)))
    np.testing.assert_array_equal(decode(data, 2)[:, :, 1], [[4, 255], [10, 0]])


def test_16_bit_colour_keeps_its_high_byte() -> None:
    data = png(1, 1, 16, 2, b"\x00" + struct.pack(">3H", 0x12FF, 0x8000, 0xFFFF))
    assert decode(data, 1).tolist() == [[[0x12, 0x80, 0xFF]]]


def test_palette() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    assert decode_row(image) == [(255, 0, 0), (0, 0, 255)]


def test_palette_with_transparency_per_entry() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    assert decode_row(image, transparency=b"\x00\xff") == [WHITE, (0, 0, 255)]


def test_transparent_colour_of_an_rgb_image() -> None:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), (1, 2, 3))
    assert decode_row(image, transparency=RED) == [WHITE, (1, 2, 3)]


def test_alpha_is_composited_over_white() -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(*RED, 255), (*RED, 0), (100, 0, 200, 51)])
    # 51/255 is a fifth of the colour and four fifths of white.
    assert decode_row(image) == [RED, WHITE, (224, 204, 244)]


def test_gray_with_alpha() -> None:
    image = Image.new("LA", (2, 1))
    image.putdata([(40, 255), (40, 0)])
    assert decode_row(image) == [(40, 40, 40), WHITE]


def decode_row(image: Image.Image, **options: object) -> list[tuple[int, ...]]:
    """The colours of a one-row image, each pixel enlarged to a column so that nothing is resized."""
    side = image.width
    enlarged = image.resize((side, side), Image.Resampling.NEAREST)
    return [tuple(colour) for colour in decode(encoded(enlarged, **options), side)[0].tolist()]  # type: ignore[arg-type]


def test_cmyk() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(decode(encoded(image, "JPEG", quality=100)).astype(int) - RED).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(kind: str, orientation: int) -> None:
    image = Image.fromarray(np.kron(NOISE[:2, :3], np.ones((8, 8, 1), np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, kind, exif=exif, quality=100)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    expected = np.asarray(upright.resize((12, 12), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode(data, 12), expected)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"junk"]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_exif_is_no_obstacle_and_no_warning(kind: str, exif: bytes) -> None:
    plain = encoded(Image.fromarray(NOISE), kind, quality=100)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(NOISE), kind, exif=exif, quality=100)), decode(plain))


def test_orientation_out_of_range_counts_as_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 9
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(NOISE), exif=exif)), NOISE)


def frames() -> list[Image.Image]:
    return [Image.fromarray(NOISE), Image.fromarray(255 - NOISE)]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animated_images_are_refused(kind: str) -> None:
    first, *others = frames()
    refused(encoded(first, kind, save_all=True, append_images=others), "animated")


def test_a_second_picture_behind_a_jpeg_is_left_out() -> None:
    first, *others = frames()
    data = encoded(first, "MPO", save_all=True, append_images=others, quality=90)
    np.testing.assert_array_equal(decode(data), decode(encoded(first, "JPEG", quality=90)))


def png_file() -> bytes:
    return encoded(Image.fromarray(NOISE))


def jpeg_file() -> bytes:
    return encoded(Image.fromarray(NOISE), "JPEG", exif=b"Exif\0\0")


def webp_file() -> bytes:
    return encoded(Image.fromarray(NOISE), "WEBP")


@pytest.mark.parametrize("make", [png_file, jpeg_file, webp_file])
def test_truncated_anywhere_is_refused(make: Callable[[], bytes]) -> None:
    whole = make()
    decode(whole)
    for length in range(len(whole)):
        with pytest.raises(InvalidImage):
            decode(whole[:length])


def test_a_flipped_bit_in_png_pixels_is_noticed() -> None:
    data = bytearray(png_file())
    data[data.index(b"IDAT") + 20] ^= 1
    refused(bytes(data), "checksum")


def test_byte_limit() -> None:
    data = png_file()
    decode_image(data, 4, ImageLimits(max_bytes=len(data)))
    with pytest.raises(TooLarge, match="bytes") as caught:
        decode_image(data, 4, ImageLimits(max_bytes=len(data) - 1))
    assert (caught.value.field, bool(caught.value.remedy)) == ("image", True)


def test_pixel_limit() -> None:
    decode_image(png_file(), 4, ImageLimits(max_pixels=16))
    with pytest.raises(TooLarge, match="4 × 4"):
        decode_image(png_file(), 4, ImageLimits(max_pixels=15))


@pytest.mark.parametrize("side", [8_000, 12_000, 50_000])
def test_huge_pngs_are_refused_by_their_header(side: int) -> None:
    # Below, between and above the sizes at which Pillow itself warns and fails.
    start = time.process_time()
    refused(png(side, side, 8, 2, b""), f"{side:,} × {side:,}", TooLarge)
    assert time.process_time() - start < 1


def test_huge_webp_is_refused() -> None:
    canvas = (16_000 - 1).to_bytes(3, "little") * 2
    data = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas + webp_file()[12:]
    refused(b"RIFF" + struct.pack("<I", len(data)) + data, "pixels", TooLarge)


def test_huge_jpeg_is_refused() -> None:
    data = bytearray(jpeg_file())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    refused(bytes(data), "60,000 × 60,000", TooLarge)


def test_compressed_text_is_never_unpacked() -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 * 2**20)))
    np.testing.assert_array_equal(decode(png(1, 1, 8, 2, b"\0\x01\x02\x03", bomb), 1), [[[1, 2, 3]]])


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from([png_file, jpeg_file, webp_file]), st.data())
def test_damage_never_gives_anything_but_our_errors(make: Callable[[], bytes], data: st.DataObject) -> None:
    file = bytearray(make())
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidImage, TooLarge):
        assert decode(bytes(file)).shape == (4, 4, 3)


def test_threads_decode_beside_each_other() -> None:
    files = [encoded(Image.fromarray(np.roll(NOISE, step)), kind) for step in range(40) for kind in ("PNG", "JPEG")]
    alone = [decode(file) for file in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decode, files))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(
    ("width", "height", "fitting", "factor"),
    [
        (640, 480, Fitting(decoding="scaled"), 1),
        (1200, 896, Fitting(decoding="scaled"), 2),
        (1200, 895, Fitting(decoding="scaled"), 1),
        (895, 1200, Fitting(decoding="scaled"), 1),
        (4000, 3000, Fitting(decoding="scaled"), 4),
        (4000, 3000, Fitting("crop", "bicubic", 0.5, "scaled"), 2),
        (60_000, 40_000, Fitting(decoding="scaled"), 4),
        (60_000, 40_000, Fitting(), 1),
    ],
)
def test_a_jpeg_is_scaled_where_twice_the_pixels_are_left(
    width: int, height: int, fitting: Fitting, factor: int
) -> None:
    assert scale_factor(width, height, 224, fitting) == factor


SCALED = Fitting(decoding="scaled")


def test_scaled_decoding_stays_near_to_the_whole() -> None:
    for photograph in load_sample_images().images:
        data = encoded(Image.fromarray(photograph), "JPEG", quality=90)
        for size in (100, 50, 25):
            found = decode_image(data, size, LIMITS, SCALED).astype(int)
            difference = np.abs(found - decode_image(data, size, LIMITS))
            assert 0 < difference.mean() < 2
            assert difference.max() < 48


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_other_kinds_than_jpeg_are_never_scaled(kind: str) -> None:
    data = encoded(picture(200, 100), kind)
    np.testing.assert_array_equal(decode_image(data, 12, LIMITS, SCALED), decode_image(data, 12, LIMITS))


def test_the_same_image_can_be_made_squares_of_several_sizes() -> None:
    data = encoded(picture(200, 100).convert("CMYK"), "JPEG")
    opened = open_image(data, LIMITS)
    for size in (64, 12, 50, 12):
        np.testing.assert_array_equal(opened.pixels(size, SCALED), decode_image(data, size, LIMITS, SCALED))
