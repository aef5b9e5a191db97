"""Image files that nobody should send: seeded mutations of good ones, and hostile ones written by hand."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What other programs would take the file for.
_STRANGERS = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00;",
    b"PK\x03\x04" + bytes(26),
    b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    b"<!doctype html><script>alert(1)</script>",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"\x7fELF" + bytes(12),
)
_SIDES = (0, 1, 2, 255, 256, 7071, 7072, 16_383, 16_384, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1)

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def corpus() -> list[bytes]:
    """Image files of every kind that encoders here write, small and intact; five hold more than one picture."""
    return first_kinds() + later_kinds()


def first_kinds() -> list[bytes]:
    """PNG, JPEG and WEBP; two are animated."""
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 256, (24, 20, 4), dtype=np.uint8)
    smooth = Image.fromarray(noise[:6, :5, :3]).resize((40, 48), Image.Resampling.BICUBIC)
    rgba = Image.fromarray(noise)
    pictures = [Image.fromarray(noise[:, :, :3]), smooth]
    files = [_saved(picture.convert(mode), "PNG") for picture in pictures for mode in ("RGB", "L", "1", "P", "LA")]
    files += [_saved(rgba, "PNG"), _saved(Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257), "PNG")]
    files += [_saved(smooth.convert("P"), "PNG", transparency=3, bits=4), interlaced(noise[:8, :8, :3])]
    files += [_saved(picture.convert(mode), "JPEG") for picture in pictures for mode in ("RGB", "L", "CMYK")]
    files += [_saved(smooth, "JPEG", progressive=True), _saved(smooth, "JPEG", subsampling=0, quality=98)]
    files += [_saved(smooth, "JPEG", restart_marker_blocks=1), _saved(smooth, "JPEG", exif=exif(6))]
    files += [_saved(picture, "WEBP", exif=exif(5)) for picture in pictures]
    files += [_saved(rgba, "WEBP", lossless=True), _saved(rgba, "WEBP", quality=30)]
    files.append(_saved(smooth, "WEBP", save_all=True, append_images=[smooth.rotate(90)], duration=50))
    files.append(_saved(smooth, "PNG", save_all=True, append_images=[smooth.rotate(90)], duration=50))
    return files


def later_kinds() -> list[bytes]:
    """GIF, BMP, TIFF, AVIF and JPEG 2000; three of more than one picture."""
    generator = np.random.default_rng(1)
    noise = generator.integers(0, 256, (24, 20, 4), dtype=np.uint8)
    smooth, rgba = Image.fromarray(noise[:6, :5, :3]).resize((40, 48), Image.Resampling.BICUBIC), Image.fromarray(noise)
    deep, turned = Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257), smooth.rotate(90)
    files = [_saved(smooth.convert(mode), "GIF") for mode in ("P", "L")]
    files += [
        _saved(rgba.convert("P"), "GIF", transparency=3, comment=b"made up"),
        _saved(smooth.convert("P"), "GIF", interlace=0),
    ]
    files += [_saved(smooth.convert(mode), "BMP") for mode in ("RGB", "L", "P", "1")]
    for mode in ("RGB", "L", "1", "P", "CMYK", "RGBA"):
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            files.append(_saved(smooth.convert(mode), "TIFF", compression=compression))
    files += [_saved(smooth.convert(mode), "TIFF", compression="jpeg") for mode in ("RGB", "L", "YCbCr")]
    files += [_saved(deep, "TIFF"), _saved(smooth, "TIFF", exif=exif_of(6), description="made up")]
    files += [
        _saved(smooth, "AVIF", speed=9),
        _saved(rgba, "AVIF", speed=9),
        _saved(smooth.convert("L"), "AVIF", speed=9),
    ]
    files += [_saved(smooth, "AVIF", speed=9, subsampling="4:4:4", exif=exif_of(7))]
    files += [_saved(smooth.convert(mode), "JPEG2000") for mode in ("RGB", "L")]
    files += [
        _saved(rgba, "JPEG2000", irreversible=True),
        _saved(deep, "JPEG2000"),
        _saved(smooth, "JPEG2000", no_jp2=True),
    ]
    files += [
        _saved(smooth, "JPEG2000", tile_size=(16, 16), no_jp2=True),
        _saved(smooth, "JPEG2000", progression="RPCL", plt=True),
    ]
    return files + [_saved(smooth, kind, save_all=True, append_images=[turned]) for kind in ("GIF", "TIFF", "AVIF")]


def exif_of(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> bytes:
    return b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def interlaced(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """An Adam7 PNG of 8 × 8 RGB pixels."""
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    rows = b"".join(
        b"\0" + row.tobytes() for top, down, left, right in passes for row in pixels[top::down, left::right]
    )
    return PNG_SIGNATURE + header(8, 8, interlace=1) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def header(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def riff(content: bytes, declared: int | None = None) -> bytes:
    return b"RIFF" + struct.pack("<I", len(content) + 4 if declared is None else declared) + b"WEBP" + content


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


# Mutations


def _truncated(draw: random.Random, file: bytes, _others: Sequence[bytes]) -> bytes:
    return file[: draw.randrange(len(file))]


def _bits_flipped(draw: random.Random, file: bytes, _others: Sequence[bytes]) -> bytes:
    damaged = bytearray(file)
    for _ in range(draw.choice((1, 1, 2, 5, 20))):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def _bytes_set(draw: random.Random, file: bytes, _others: Sequence[bytes]) -> bytes:
    damaged = bytearray(file)
    for _ in range(draw.choice((1, 2, 4, 16))):
        damaged[draw.randrange(len(damaged))] = draw.choice((0, 0xFF, 0x80, 0x7F, draw.randrange(256)))
    return bytes(damaged)


def _swapped(draw: random.Random, file: bytes, _others: Sequence[bytes]) -> bytes:
    a, b, c, d = sorted(draw.randrange(len(file) + 1) for _ in range(4))
    return file[:a] + file[c:d] + file[b:c] + file[a:b] + file[d:]


def _repeated(draw: random.Random, file: bytes, _others: Sequence[bytes]) -> bytes:
    start, end = sorted(draw.randrange(len(file) + 1) for _ in range(2))
    return file[:end] + file[start:end] * draw.choice((1, 2, 50)) + file[end:]


def _spliced(draw: random.Random, file: bytes, others: Sequence[bytes]) -> bytes:
    other = draw.choice(others)
    return file[: draw.randrange(len(file))] + other[draw.randrange(len(other)) :]


def _joined(draw: random.Random, file: bytes, others: Sequence[bytes]) -> bytes:
    return file + draw.choice((*others, *_STRANGERS))


def _disguised(draw: random.Random, file: bytes, _others: Sequence[bytes]) -> bytes:
    stranger = draw.choice(_STRANGERS)
    at = draw.choice((0, 2, 8, 12, draw.randrange(len(file))))
    return file[:at] + stranger + file[at:]


def _within_another(draw: random.Random, file: bytes, others: Sequence[bytes]) -> bytes:
    """The file in a chunk or segment of another one."""
    other = draw.choice(others)
    if other.startswith(PNG_SIGNATURE):
        name = draw.choice((b"IDAT", b"eXIf", b"tEXt", b"fdAT", b"PLTE"))
        return other[:33] + chunk(name, file) + other[33:]
    if other.startswith(b"\xff\xd8"):
        return other[:2] + segment(draw.choice((0xE1, 0xE0, 0xFE, 0xC4, 0xDB)), file[:65_000]) + other[2:]
    return riff(other[12:] + b"EXIF" + struct.pack("<I", len(file)) + file)


def _lying_sizes(draw: random.Random, file: bytes, _others: Sequence[bytes]) -> bytes:
    """Sizes and lengths changed where the format keeps them; sums are made right again, so that the lie is believed."""
    damaged, side = bytearray(file), draw.choice(_SIDES)
    if file.startswith(PNG_SIGNATURE):
        struct.pack_into(">I", damaged, draw.choice((16, 20)), side)
        struct.pack_into(">I", damaged, 29, zlib.crc32(damaged[12:29]))
    elif file.startswith(b"RIFF"):
        at = draw.choice((4, 16, 20, 24))
        struct.pack_into("<I", damaged, at, draw.choice((side, len(file), len(file) - 9, len(file) + 1)))
    elif file.startswith(b"\xff\xd8"):
        frame = max(file.find(b"\xff\xc0"), file.find(b"\xff\xc2"))
        struct.pack_into(">H", damaged, frame + draw.choice((2, 5, 7)), side % 65_536)
    else:
        within = [(form, at) for form, at in _size_places(file) if at + 4 <= len(file)]
        form, at = draw.choice(within or [("B", 0)])
        struct.pack_into(form, damaged, at, side % 2 ** (8 * struct.calcsize(form)))
    return bytes(damaged)


def _size_places(file: bytes) -> list[tuple[str, int]]:
    """Where GIF, BMP, TIFF, AVIF and JPEG 2000 keep sizes, counts and places: how each is packed, and its offset."""
    if file.startswith(b"GIF"):
        return [("<H", at) for at in (6, 8, *(file.find(b",", 13) + step for step in (5, 7)))]
    if file.startswith(b"BM"):
        return [("<I", at) for at in (10, 14, 18, 22, 30, 46)]
    if file.startswith(b"II"):
        start = int.from_bytes(file[4:8], "little")
        count = int.from_bytes(file[start : start + 2], "little")
        return [("<I", start + 2 + 12 * tag + step) for tag in range(min(count, 30)) for step in (4, 8)]
    if file.startswith((b"\xff\x4f", b"\0\0\0\x0cjP")):
        head, coding = file.find(b"\xff\x51"), file.find(b"\xff\x52")
        numbers = [(">I", head + step) for step in range(6, 38, 4)] + [(">H", head + 38), (">H", coding + 6)]
        bytes_ = [(">B", head + step) for step in (40, 41, 42)] + [(">B", coding + step) for step in range(4, 14)]
        return numbers + bytes_ + [(">I", max(file.find(b"ihdr"), 0) + step) for step in (4, 8)]
    boxes = [(">I", file.find(b"ispe") + step) for step in (8, 12)]
    boxes += [(">H", file.find(b"iloc") + step) for step in (8, 10, 12, 14, 16, 18, 20, 22)]
    return boxes + [(">I", file.find(b"mdat") + step) for step in (4, 6, 8, 10)]


def _believed_damage(draw: random.Random, file: bytes, others: Sequence[bytes]) -> bytes:
    """Damage within a PNG's chunks with the sums made right again: it gets as far as the decoder."""
    if not file.startswith(PNG_SIGNATURE):
        return _bytes_set(draw, file, others)
    rebuilt, at = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while at < len(file):
        (length,) = struct.unpack_from(">I", file, at)
        name, content = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        if content and draw.random() < 0.5:
            content = _bits_flipped(draw, content, others)
        rebuilt += [chunk(name, content)] * draw.choice((0, 1, 1, 1, 1, 1, 1, 2))
        at += 12 + length
    return b"".join(rebuilt)


MUTATIONS: dict[str, Mutation] = {
    mutation.__name__.strip("_"): mutation
    for mutation in (
        _truncated,
        _bits_flipped,
        _bytes_set,
        _swapped,
        _repeated,
        _spliced,
        _joined,
        _disguised,
        _within_another,
        _lying_sizes,
        _believed_damage,
    )
}


def cases(count: int, seed: int, files: Sequence[bytes] = ()) -> Iterator[tuple[str, bytes]]:
    """Damaged copies of `files` (all kinds), `count` of them, each with the name of the mutation; the same for the same seed."""
    draw, files, names = random.Random(seed), files or corpus(), sorted(MUTATIONS)
    for number in range(count):
        name = names[number % len(names)]
        file = MUTATIONS[name](draw, draw.choice(files), files)
        # One in five twice.
        if len(file) > 40 and draw.random() < 0.2:
            second = draw.choice(names)
            name, file = f"{name}+{second}", MUTATIONS[second](draw, file, files)
        yield name, file
