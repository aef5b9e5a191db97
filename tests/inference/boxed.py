"""AVIF and JP2 files put together box by box, as no encoder here would."""

import io
import struct
from collections.abc import Sequence

from PIL import Image


def box(name: bytes, *content: bytes) -> bytes:
    inner = b"".join(content)
    return struct.pack(">I4s", 8 + len(inner), name) + inner


def full(name: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *content)


def content_of(file: bytes, name: bytes) -> bytes:
    """Of the first box of that name anywhere in a file."""
    at = file.index(name)
    (length,) = struct.unpack_from(">I", file, at - 4)
    return file[at + 4 : at - 4 + length]


def coded(width: int, height: int) -> tuple[bytes, bytes]:
    """A picture of noise as AV1, and its configuration (av1C)."""
    file = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(file, "AVIF", speed=9, quality=30)
    return content_of(file.getvalue(), b"mdat"), content_of(file.getvalue(), b"av1C")


def avif(
    pictures: Sequence[bytes],
    configuration: bytes,
    size: tuple[int, int],
    columns: int = 0,
    further: Sequence[bytes] = (),
    overlapping: bool = False,
) -> bytes:
    """An AVIF of one picture or, with `columns`, of a grid of them; `further` are more properties, of the primary item.

    `size` is what the file says of each picture. With `overlapping`, all items lie at the same place.
    """
    rows = len(pictures) // columns if columns else 0
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, size[0] * columns, size[1] * rows) if columns else b""
    items = [(number, b"av01", picture) for number, picture in enumerate(pictures, 1 + bool(grid))]
    items = [(1, b"grid", grid), *items] if grid else items
    told = [full(b"infe", struct.pack(">HH4sB", number, 0, kind, 0), version=2) for number, kind, _ in items]
    whole = (size[0] * columns, size[1] * rows) if grid else size
    channels = full(b"pixi", b"\x03\x08\x08\x08")
    properties = [full(b"ispe", struct.pack(">II", *size)), box(b"av1C", configuration), channels]
    properties += [full(b"ispe", struct.pack(">II", *whole)), *further]
    first = [4 if grid else 1, 3, *([] if grid else [0x82]), *(5 + place | 0x80 for place in range(len(further)))]
    uses = [(1, first), *((number, [1, 0x82, 3]) for number, kind, _ in items[1:])]
    associations = b"".join(struct.pack(">HB", number, len(used)) + bytes(used) for number, used in uses)
    references = [struct.pack(">HH", 1, len(pictures)) + b"".join(struct.pack(">H", n) for n, _, _ in items[1:])]

    def meta(start: int) -> bytes:
        places, at = b"", start
        for number, _, content in items:
            places += struct.pack(">HHHII", number, 0, 1, at, len(content))
            at += 0 if overlapping else len(content)
        return full(
            b"meta",
            full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
            full(b"pitm", struct.pack(">H", 1)),
            full(b"iloc", b"\x44\x00", struct.pack(">H", len(items)), places),
            full(b"iinf", struct.pack(">H", len(items)), *told),
            box(b"iprp", box(b"ipco", *properties), full(b"ipma", struct.pack(">I", len(items)), associations)),
            *([full(b"iref", box(b"dimg", *references))] if grid else []),
        )

    start = box(b"ftyp", b"avif", bytes(4), b"avifmif1miaf")
    contents = [content for _, _, content in items[: 2 if overlapping else None]]
    return start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", *contents)
