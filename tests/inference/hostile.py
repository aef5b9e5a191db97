"""Files that follow their format to the letter and are made to cost as much time or memory as they can."""

import io
import struct
import zlib

from PIL import Image

from tests.inference.boxed import avif, coded
from tests.inference.fuzzing import PNG_SIGNATURE, chunk, header, riff, segment

MOST_BYTES = 10 * 2**20
_SIDE = 7000


def hostile() -> dict[str, bytes]:
    """By name; none has more than 10 MiB, none claims more pixels than are decoded by default, unless its name says so."""
    return {**_pngs(), **_jpegs(), **_webps(), **_gifs(), **_tiffs(), **_coded_twice(), **_jpegs_2000()}


def _tiny(kind: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((8, 8), 50).convert("RGB").save(file, kind)
    return file.getvalue()


def _png(*parts: bytes) -> bytes:
    return b"".join([PNG_SIGNATURE, *parts, chunk(b"IEND", b"")])


def _zeros(bytes_: int) -> bytes:
    packer = zlib.compressobj(1)
    blocks = [packer.compress(bytes(min(2**24, bytes_ - at))) for at in range(0, bytes_, 2**24)]
    return b"".join([*blocks, packer.flush()])


def _pngs() -> dict[str, bytes]:
    eight = header(8, 8)
    rows = zlib.compress((b"\0" + bytes(24)) * 8)
    pixels = chunk(b"IDAT", rows)

    def many(name: bytes, content: bytes = b"") -> bytes:
        part = chunk(name, content)
        return part * ((MOST_BYTES - 1000) // len(part))

    return {
        "PNG of empty pixel chunks": _png(eight, many(b"IDAT"), pixels),
        "PNG of pixel chunks of a byte after the end": _png(eight, pixels, many(b"IDAT", b"\0")),
        "PNG of empty texts": _png(eight, many(b"tEXt"), pixels),
        "PNG of palettes": _png(eight, many(b"PLTE", bytes(3)), pixels),
        "PNG of headers": _png(many(b"IHDR", eight[8:-4]), pixels),
        "PNG that unpacks to 500 MB and needs 200": _png(eight, chunk(b"IDAT", _zeros(500_000_000))),
        "PNG of 49 million RGBA pixels": _png(
            header(_SIDE, _SIDE, colour=6), chunk(b"IDAT", _zeros((4 * _SIDE + 1) * _SIDE))
        ),
        "PNG of 1 × 50 million pixels": _png(header(1, 50_000_000, colour=0), chunk(b"IDAT", _zeros(2 * 50_000_000))),
    }


def _jpegs() -> dict[str, bytes]:
    start, rest = b"\xff\xd8", _tiny("JPEG")[2:]

    def many(part: bytes) -> bytes:
        return start + part * ((MOST_BYTES - len(rest) - 2) // len(part)) + rest

    return {
        "JPEG behind zeros": start + b"\xff\xd0" + bytes(MOST_BYTES - len(rest) - 4) + rest,
        "JPEG behind fill bytes": many(b"\xff"),
        "JPEG of restart markers": many(b"\xff\xd0"),
        "JPEG of empty comments": many(segment(0xFE, b"")),
        "JPEG of restart intervals": many(segment(0xDD, bytes(2))),
        "JPEG of 10,000 scans": scans(10_000),
        "JPEG with an EXIF block that points at itself": start
        + segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<IH", 8, 65_535) + bytes(12) * 5000)
        + rest,
    }


def scans(count: int) -> bytes:
    """A progressive gray JPEG of 49 million pixels: so many scans, of some 80 bytes each, go over all of them."""
    blocks = ((_SIDE + 7) // 8) ** 2
    # One code in each table: a DC difference of 0, and a run of 2¹⁴ + 2¹⁴ − 1 empty blocks.
    tables = segment(0xC4, b"\x00\x01" + bytes(15) + b"\x00") + segment(0xC4, b"\x10\x01" + bytes(15) + b"\xe0")
    frame = segment(0xC2, struct.pack(">BHHB", 8, _SIDE, _SIDE, 1) + bytes([1, 0x11, 0]))
    bits = ("0" + "1" * 14) * (blocks // 32_767 + 1)
    bits += "1" * (-len(bits) % 8)
    runs = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    first = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes((blocks + 7) // 8)
    later = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + runs
    quantisation = segment(0xDB, b"\0" + bytes([1] * 64))
    return b"\xff\xd8" + quantisation + frame + tables + first + later * (count - 1) + b"\xff\xd9"


def _webps() -> dict[str, bytes]:
    inner = _tiny("WEBP")[12:]
    empty = b"ABCD" + bytes(4)
    canvas = (_SIDE - 1).to_bytes(3, "little") * 2
    frame = bytes(6) + (7).to_bytes(3, "little") * 2 + bytes(4) + inner
    animated = [
        b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + canvas,
        b"ANIM" + struct.pack("<I", 6) + bytes(6),
        b"ANMF" + struct.pack("<I", len(frame)) + frame,
    ]
    return {
        "WEBP of empty chunks": riff(inner + empty * ((MOST_BYTES - len(inner) - 12) // len(empty))),
        "WEBP with one small frame on 49 million pixels": riff(b"".join(animated)),
        "WEBP that claims 16,383 × 16,383 pixels": riff(
            b"VP8X" + struct.pack("<I", 10) + bytes(4) + (16_382).to_bytes(3, "little") * 2 + inner
        ),
    }


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _gifs() -> dict[str, bytes]:
    start, comments = _tiny("GIF")[:-1], (MOST_BYTES - 10_000) // 3
    return {
        "GIF of empty comments": start + b"!\xfe\0" * comments + b";",
        "GIF of padding": start + bytes(MOST_BYTES - 10_000) + b";",
        "GIF of blocks of a byte": start + b"!\xfe" + b"\1\0" * (MOST_BYTES // 2 - 5000) + b"\0;",
        "GIF of 49 million pixels": saved(Image.new("L", (_SIDE, _SIDE)), "GIF"),
        "BMP of 49 million pixels": saved(Image.new("1", (_SIDE, _SIDE)), "BMP"),
    }


def tiff(tags: dict[int, tuple[int, tuple[int, ...]]], behind: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF: by tag, its type (3 or 4) and numbers. `behind` begins at byte 8, the directory after it."""
    entries, values, start = b"", b"", 8 + len(behind)
    for tag, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}{'H' if kind == 3 else 'I'}", *numbers)
        if len(packed) > 4:
            place = struct.pack("<I", start + 2 + 12 * len(tags) + 4 + len(values))
            values += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + place
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + values
    return b"II*\0" + struct.pack("<I", start) + behind + directory


def _tiffs() -> dict[str, bytes]:
    whole = _zeros(8 * _SIDE * _SIDE)
    cmyk = {
        256: (3, (_SIDE,)),
        257: (3, (_SIDE,)),
        258: (3, (16,) * 4),
        259: (3, (8,)),
        262: (3, (5,)),
        277: (3, (4,)),
        273: (4, (8,)),
        278: (4, (_SIDE,)),
        279: (4, (len(whole),)),
    }
    strips = tuple(8 + 8 * row for row in range(19_000))
    rows = {
        256: (3, (8,)),
        257: (3, (19_000,)),
        258: (3, (8,)),
        259: (3, (1,)),
        262: (3, (1,)),
        277: (3, (1,)),
        273: (4, strips),
        278: (4, (1,)),
        279: (4, (8,) * 19_000),
    }
    # Each directory is followed by the next, twelve bytes on, and claims a thousand tags.
    chain = b"".join(struct.pack("<HHII", 1000, 254, 9, 8) for _ in range(MOST_BYTES // 12 - 2000))
    return {
        "TIFF of 49 million pixels of 16-bit CMYK in one strip": tiff(cmyk, whole),
        "TIFF of 19,000 strips": tiff(rows, bytes(8 * 19_000)),
        "TIFF of a directory of what might be directories": b"II*\0\x08\0\0\0" + chain,
        "TIFF that is its own next page": tiff({**rows, 254: (4, (1,))}, bytes(8 * 19_000), 8 + 8 * 19_000),
    }


def _coded_twice() -> dict[str, bytes]:
    picture, configuration = coded(64, 64)
    size = (64, 64)
    # Behind a delimiter of two bytes the picture begins with the head of its own sequence.
    hidden = sequence(16_384, 16_384) + picture[2 + 2 + picture[3] :]
    return {
        "AVIF of 480 cells": avif([picture] * 480, configuration, size, columns=20),
        "AVIF of 500 items of one place": avif([picture] * 490, configuration, size, columns=10, overlapping=True),
        "AVIF of frames": avif([picture * 10_000], configuration, size),
        "AVIF that hides 16,384 × 16,384 pixels": avif([hidden], configuration, (8, 8)),
    }


def sequence(width: int, height: int) -> bytes:
    """The head of an AV1 sequence of one still picture (reduced header)."""
    bits = f"000{1}{1}00000{15:04b}{15:04b}{width - 1:016b}{height - 1:016b}" + "0" * 30
    content = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    return bytes([0x0A, len(content)]) + content


def _jpegs_2000() -> dict[str, bytes]:
    slope = Image.linear_gradient("L").resize((3500, 3500))
    small = saved(Image.new("L", (1024, 1024)), "JPEG2000", no_jp2=True, tile_size=(16, 16))
    return {
        "JPEG 2000 of 12 million pixels": saved(slope, "JPEG2000"),
        "JPEG 2000 of 4,096 tiles": small,
        "JPEG 2000 of comments": small[:45] + b"\xff\x64\x00\x04\0\1" * ((MOST_BYTES - len(small)) // 6) + small[45:],
    }
