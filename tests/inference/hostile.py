"""Files that follow their format to the letter and are made to cost as much time or memory as they can."""

import io
import struct
import zlib

from PIL import Image

from tests.inference.fuzzing import PNG_SIGNATURE, chunk, header, riff, segment

MOST_BYTES = 10 * 2**20
_SIDE = 7000


def hostile() -> dict[str, bytes]:
    """By name; none has more than 10 MiB, none claims more pixels than are decoded by default, unless its name says so."""
    return {**_pngs(), **_jpegs(), **_webps()}


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
