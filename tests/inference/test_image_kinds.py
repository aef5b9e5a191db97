"""GIF, BMP, TIFF, AVIF and JPEG 2000: values known by construction, what is refused, and what is said of it."""

import io
import struct
import subprocess
import sys
import time
import warnings

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from noisegate.errors import InvalidImage, TooLarge
from noisegate.inference import decoding
from noisegate.inference.av1 import decoded_pixels
from noisegate.inference.decoding import ImageLimits, decode_image, decode_with_size
from tests.inference.boxed import avif, box, coded
from tests.inference.fuzzing import exif_of
from tests.inference.hostile import saved, sequence, tiff

Pixels = npt.NDArray[np.uint8]
LIMITS = ImageLimits()
NOISE = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
GRAY = np.ascontiguousarray(NOISE[:, :, 0])
PICTURE = Image.fromarray(NOISE)
LEVELS = (0, 65_535, 25_700, 25_829)
EIGHT_BITS = [[0, 255], [100, 101]]


def decode(data: bytes, size: int = 16) -> Pixels:
    return decode_image(data, size, LIMITS)


def refused(data: bytes, words: str, limits: ImageLimits = LIMITS) -> None:
    with pytest.raises((InvalidImage, TooLarge), match=words) as caught:
        decode_image(data, 16, limits)
    assert caught.value.field == "image"
    assert caught.value.remedy


def gray_of(levels: Pixels) -> Pixels:
    return np.stack([levels] * 3, axis=2)


TIFF_OPTIONS = [{"compression": name} for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("BMP", {}), *(("TIFF", options) for options in TIFF_OPTIONS), ("JPEG2000", {}), ("JPEG2000", {"no_jp2": True})],
)
def test_lossless_colours_and_grays_come_back_exactly(kind: str, options: dict[str, object]) -> None:
    np.testing.assert_array_equal(decode(saved(PICTURE, kind, **options)), NOISE)
    np.testing.assert_array_equal(decode(saved(Image.fromarray(GRAY), kind, **options)), gray_of(GRAY))


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_palettes(kind: str) -> None:
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16), "P")
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    image.putpalette(colours.tobytes())
    np.testing.assert_array_equal(decode(saved(image, kind)), colours.reshape(16, 16, 3))


def test_a_transparent_colour_of_a_gif_is_white() -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decode(saved(image, "GIF", transparency=1), 2)[0], [[255, 0, 0], [255, 255, 255]])


@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000"])
def test_alpha_is_composited_over_white(kind: str) -> None:
    image = Image.new("RGBA", (2, 2), (100, 0, 200, 51))
    np.testing.assert_array_equal(decode(saved(image, kind), 2), np.full((2, 2, 3), [224, 204, 244]))


def cmyk(compression: str) -> bytes:
    return saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF", compression=compression)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_cmyk(compression: str) -> None:
    np.testing.assert_array_equal(decode(cmyk(compression)), np.full((16, 16, 3), [255, 0, 0]))


def by_hand(order: str, bits: int, samples: int, photometric: int, pixels: bytes, **further: int) -> bytes:
    """An uncompressed TIFF of 2 × 2 pixels in one strip, of either byte order."""
    tags = {256: 2, 257: 2, 258: bits, 259: 1, 262: photometric, 273: 8, 277: samples, 278: 2, 279: len(pixels)}
    tags |= {int(tag.removeprefix("tag")): value for tag, value in further.items()}
    entries = b"".join(struct.pack(f"{order}HHIH2x", tag, 3, 1, value) for tag, value in sorted(tags.items()))
    start = struct.pack(f"{order}HI", 42, 8 + len(pixels))
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return (b"II" if order == "<" else b"MM") + start + pixels + directory


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grays_of_a_tiff(order: str) -> None:
    data = by_hand(order, 16, 1, 1, struct.pack(f"{order}4H", *LEVELS))
    np.testing.assert_array_equal(decode(data, 2)[:, :, 0], EIGHT_BITS)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_colours_of_a_tiff_keep_their_high_bytes(order: str) -> None:
    data = by_hand(order, 16, 3, 2, struct.pack(f"{order}12H", *(0x12FF, 0x8000, 0xFFFF) * 4))
    assert decode(data, 2)[0, 0].tolist() == [0x12, 0x80, 0xFF]


def test_white_may_be_0_in_a_tiff() -> None:
    np.testing.assert_array_equal(
        decode(by_hand("<", 8, 1, 0, bytes([0, 255, 55, 5])), 2)[:, :, 0], [[255, 0], [200, 250]]
    )


def test_a_palette_of_8_bits_in_a_tiff_is_not_black() -> None:
    colours = tuple(range(256))
    pixels = bytes([0, 1, 100, 255])
    data = tiff(
        {
            256: (3, (2,)),
            257: (3, (2,)),
            258: (3, (8,)),
            262: (3, (3,)),
            273: (3, (8,)),
            279: (3, (4,)),
            320: (3, colours * 3),
        },
        pixels,
    )
    np.testing.assert_array_equal(decode(data, 2)[:, :, 2], [[0, 1], [100, 255]])


@pytest.mark.parametrize("bits", [16, 12, 10])
def test_deep_grays_of_jpeg_2000(bits: int) -> None:
    deep = np.array([[0, 65_535], [25_700, 25_829]], np.uint16)
    data = saved(Image.fromarray(deep), "JPEG2000", no_jp2=True)
    if bits == 16:
        np.testing.assert_array_equal(decode(data, 2)[:, :, 0], EIGHT_BITS)
    else:
        # The depth in the head alone: what counts is that it is taken for such an image.
        assert decode(data[:42] + bytes([bits - 1]) + data[43:], 2).shape == (2, 2, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "options"), [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("AVIF", {"quality": 100})]
)
def test_orientation_is_honoured_once(kind: str, options: dict[str, object], orientation: int) -> None:
    image = Image.fromarray(np.kron(NOISE[:2, :3], np.ones((8, 8, 1), np.uint8)))
    data = saved(image, kind, exif=exif_of(orientation), **options)
    plain = Image.open(io.BytesIO(saved(image, kind, **options)))
    upright = ImageOps.exif_transpose(with_orientation(plain.convert("RGB"), orientation))
    pixels, size = decode_with_size(data, 12, LIMITS)
    np.testing.assert_array_equal(pixels, np.asarray(upright.resize((12, 12), Image.Resampling.BILINEAR)))
    assert size == upright.size


def with_orientation(image: Image.Image, orientation: int) -> Image.Image:
    image.getexif()[0x0112] = orientation
    return image


def test_exif_of_an_avif_does_not_turn_it_and_its_boxes_do() -> None:
    picture, configuration = coded(64, 64)
    plain = decode(avif([picture], configuration, (64, 64)), 64)
    turned = decode(avif([picture], configuration, (64, 64), further=[box(b"irot", b"\1")]), 64)
    np.testing.assert_array_equal(turned, np.rot90(plain))
    mirrored = decode(avif([picture], configuration, (64, 64), further=[box(b"imir", b"\1")]), 64)
    np.testing.assert_array_equal(mirrored, plain[:, ::-1])
    np.testing.assert_array_equal(decode(with_exif_of_6()), decode(saved(PICTURE, "AVIF")))


def with_exif_of_6() -> bytes:
    """An AVIF of which EXIF, but no box, says that it is to be turned, as no encoder writes it: a unit of 6, renamed."""
    exif = Image.Exif()
    exif[0x0128] = 6
    file = saved(PICTURE, "AVIF", exif=exif)
    start = file.index(b"II*\0" if b"II*\0" in file else b"MM\0*")
    order = "<" if file[start : start + 2] == b"II" else ">"
    unit, turned = (struct.pack(f"{order}HHIH", tag, 3, 1, 6) for tag in (0x0128, 0x0112))
    assert unit in file[start:]
    return file[:start] + file[start:].replace(unit, turned)


def test_an_avif_of_several_cells_is_one_picture() -> None:
    picture, configuration = coded(64, 64)
    one = decode(avif([picture], configuration, (64, 64)), 64)
    grid = decode(avif([picture] * 6, configuration, (64, 64), columns=2), 192)
    assert decode_with_size(avif([picture] * 6, configuration, (64, 64), columns=2), 8, LIMITS)[1] == (128, 192)
    assert grid.shape == (192, 192, 3)
    assert np.abs(one.astype(int).mean() - grid.mean()) < 3


def test_no_metadata_makes_pillow_warn() -> None:
    whole = with_exif_of_6()
    start = whole.index(b"*", whole.index(b"mdat"))
    damaged = whole[: start + 2] + b"\xff" * 4 + whole[start + 6 :]
    with pytest.warns(UserWarning, match="EXIF"):
        Image.open(io.BytesIO(damaged))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(decode(damaged), decode(saved(PICTURE, "AVIF")))
        for tag, kind in ((34665, 4), (270, 2), (700, 1), (33432, 99)):
            data = tiff_with(tag, kind)
            np.testing.assert_array_equal(decode(data, 2)[:, :, 0], [[1, 2], [3, 4]])


def tiff_with(tag: int, kind: int) -> bytes:
    """A TIFF with a tag of which the value lies far outside the file."""
    data = by_hand("<", 8, 1, 1, bytes([1, 2, 3, 4]), **{f"tag{tag}": 1})
    at = data.index(struct.pack("<HHI", tag, 3, 1))
    return data[:at] + struct.pack("<HHII", tag, kind, 2**30, 2**31) + data[at + 12 :]


def animation(kind: str) -> bytes:
    return saved(PICTURE, kind, save_all=True, append_images=[PICTURE.rotate(90)])


@pytest.mark.parametrize(
    ("kind", "words"), [("GIF", "is animated"), ("AVIF", "is animated"), ("TIFF", "more than one page")]
)
def test_several_pictures_are_refused(kind: str, words: str) -> None:
    refused(animation(kind), words)


def test_a_thumbnail_behind_the_page_of_a_tiff_is_no_page() -> None:
    small = by_hand("<", 8, 1, 1, bytes(4))
    directory = tiff({254: (4, (1,)), 256: (3, (1,))})[8:]
    at = len(small) + len(small) % 2
    # The offset of the next directory is the last word of the file.
    data = small[:-4] + struct.pack("<I", at) + bytes(at - len(small)) + directory
    assert decode(data, 2).shape == (2, 2, 3)
    refused(data[:at] + tiff({256: (3, (1,))})[8:], "more than one page")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (by_hand("<", 32, 1, 1, bytes(16), tag339=3), "floating-point"),
        (by_hand("<", 16, 1, 1, bytes(8), tag339=2), "signed"),
        (by_hand("<", 12, 1, 1, bytes(6)), "12 bits"),
        (by_hand("<", 16, 1, 0, bytes(8)), "16 bits"),
        (by_hand("<", 16, 3, 2, bytes(24), tag284=2), "plane of its own"),
        (by_hand("<", 8, 3, 6, bytes(12)), "YCbCr"),
        (by_hand("<", 8, 3, 8, bytes(12)), "not read"),
        (by_hand("<", 1, 1, 0, bytes(2), tag259=4), "fax compression"),
        (by_hand("<", 8, 3, 6, bytes(12), tag259=6), "old JPEG compression"),
        (by_hand("<", 8, 1, 1, bytes(4), tag259=50_000), "Zstandard compression"),
        (by_hand("<", 8, 1, 1, bytes(4), tag254=1), "raw files of cameras"),
        (by_hand("<", 8, 1, 1, bytes(4), tag317=3), "unusual order"),
        (by_hand("<", 8, 1, 1, bytes(3)), "cut short|damaged"),
    ],
)
def test_tiffs_that_are_refused(data: bytes, words: str) -> None:
    refused(data, words)


def test_strips_may_not_lie_over_each_other() -> None:
    tags = {256: (3, (8,)), 257: (3, (2,)), 258: (3, (8,)), 259: (3, (8,)), 262: (3, (1,)), 278: (3, (1,))}
    refused(tiff({**tags, 273: (4, (8, 8)), 279: (4, (8, 8))}, bytes(16)), "over each other")


def test_bmps_that_pillow_would_unpack_in_python_are_refused() -> None:
    data = saved(PICTURE.convert("P"), "BMP")
    refused(data[:30] + struct.pack("<I", 1) + data[34:], "packed as run lengths")


def test_the_coded_picture_of_an_avif_counts_not_what_the_file_says() -> None:
    picture, configuration = coded(64, 64)
    assert decoded_pixels(picture) == 64 * 64
    assert decoded_pixels(sequence(16_384, 16_384) + picture[2 + 2 + picture[3] :]) == 16_384**2
    limits = ImageLimits(max_pixels=64 * 64 // 2 - 1)
    refused(avif([picture], configuration, (8, 8)), "4,096 pixels", limits)


def test_an_avif_of_many_frames_is_refused() -> None:
    picture, configuration = coded(64, 64)
    refused(avif([picture * 5], configuration, (64, 64)), "5 frames")


def test_an_avif_with_items_at_the_same_place_is_refused() -> None:
    picture, configuration = coded(64, 64)
    refused(avif([picture] * 490, configuration, (64, 64), columns=10, overlapping=True), "over each other")


def changed(data: bytes, marker: bytes, step: int, value: bytes) -> bytes:
    at = data.index(marker) + step
    return data[:at] + value + data[at + len(value) :]


JP2 = saved(PICTURE, "JPEG2000")
SIZE, CODING = b"\xff\x51", b"\xff\x52"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed(JP2, b"ihdr", 4, struct.pack(">I", 8)), "another size"),
        (changed(JP2, SIZE, 6, struct.pack(">II", 9, 9)), "another size|damaged|missing"),
        (changed(JP2, SIZE, 22, struct.pack(">II", 1, 1)), "missing|damaged"),
        (changed(JP2, SIZE, 40, b"\x0f\x01\x01" * 3), "8 bits a colour"),
        (JP2[:-2], "cut short"),
        (changed(JP2, SIZE, 0, b"\xff\x50"), "no picture|marker"),
        (changed(JP2, b"colr", 7, struct.pack(">I", 14)), "unusual colours"),
        (JP2[:100], "cut short"),
    ],
)
def test_jpegs_2000_that_are_refused(data: bytes, words: str) -> None:
    refused(data, words)


def test_pieces_of_a_jpeg_2000_are_counted_before_it_is_opened() -> None:
    large = saved(Image.new("L", (1000, 1000)), "JPEG2000", no_jp2=True, precinct_size=(128, 128))
    assert decode(large).shape == (16, 16, 3)
    started = time.process_time()
    refused(changed(large, CODING, 6, b"\xff\xff"), "too many pieces")
    refused(changed(large, SIZE, 22, struct.pack(">II", 4, 4)), "62,500 tiles")
    refused(changed(large, CODING, 14, bytes(6)), "too many pieces")
    assert time.process_time() - started < 1


def test_jpeg_2000_has_a_quarter_of_the_pixels() -> None:
    decode_image(JP2, 16, ImageLimits(max_pixels=4 * 256))
    refused(JP2, "16 × 16", ImageLimits(max_pixels=4 * 256 - 1))


def test_a_gif_grows_by_its_picture_and_that_counts() -> None:
    data = saved(PICTURE.convert("L"), "GIF")
    refused(data[:6] + struct.pack("<HH", 60_000, 60_000) + data[10:], "3,600,000,000")
    at = data.index(b",", 13 + 768 if data[10] & 0x80 else 13)
    grown = data[: at + 1] + struct.pack("<HH", 65_000, 65_000) + data[at + 5 :]
    refused(grown, "pixels")


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF", "JPEG2000"])
def test_truncated_anywhere_is_refused(kind: str) -> None:
    whole = saved(PICTURE.convert("L") if kind == "GIF" else PICTURE, kind)
    decode(whole)
    for length in range(len(whole)):
        with pytest.raises(InvalidImage):
            decode(whole[:length])


def test_a_kind_that_pillow_was_built_without_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_MISSING", {"AVIF"})
    refused(saved(PICTURE, "AVIF"), "is of the kind AVIF, which this installation's Pillow was built without")
    decode(saved(PICTURE, "TIFF"))


MEMORY = """
import resource, sys
from noisegate.errors import InvalidImage, TooLarge
from noisegate.inference.decoding import ImageLimits, decode_image
from tests.inference.fuzzing import cases, later_kinds
seen = []
for number, (_, file) in enumerate(cases(int(sys.argv[1]), 6, later_kinds())):
    try:
        decode_image(file, 32, ImageLimits())
    except (InvalidImage, TooLarge):
        pass
    if number % 100 == 99:
        with open("/proc/self/statm") as resident:
            seen.append(int(resident.read().split()[1]) * resource.getpagesize() / 2**20)
# Not ru_maxrss, which a program inherits from the one that starts it.
with open("/proc/self/status") as status:
    peak = int(status.read().split("VmHWM:")[1].split()[0]) / 2**10
print(min(seen[len(seen) // 2:]) - min(seen[:len(seen) // 2]), peak)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_damaged_files_leave_no_memory_behind(count: int) -> None:
    environment = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072", "PYTHONPATH": ":".join(sys.path)}
    script = [sys.executable, "-W", "error", "-c", MEMORY, str(count)]
    done = subprocess.run(script, check=True, capture_output=True, text=True, env=environment)
    grown, peak = map(float, done.stdout.split())
    assert grown < 5, "MiB"
    assert peak < 400, "MiB"
