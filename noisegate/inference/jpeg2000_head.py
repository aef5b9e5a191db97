"""The main head of a JPEG 2000 codestream: how large the picture is, and into how many pieces it is cut."""

import struct
from dataclasses import dataclass, field

from noisegate.inference.parts import checked, damaged, refuse, truncated

_SIZE, _CODING, _COMPONENT_CODING, _QUANTISATION, _COMPONENT_QUANTISATION = 0xFF51, 0xFF52, 0xFF53, 0xFF5C, 0xFF5D
_KEPT = {_SIZE, _CODING, _COMPONENT_CODING, _QUANTISATION, _COMPONENT_QUANTISATION}
# Comments and indexes of parts.
_LEFT_OUT = {0xFF55, 0xFF57, 0xFF63, 0xFF64}
_START_OF_TILE = 0xFF90
# libopenjp2 sets memory aside by these counts, before it has read a pixel: 6 KB a tile, 600 bytes a code block. A picture of
# 12 million pixels has 9,000 blocks of 64 × 64.
_MOST_TILES, _MOST_BLOCKS, _MOST_PACKETS = 4096, 250_000, 4_000_000
_MOST_LEVELS, _MOST_OFFSET, _MOST_SUBSAMPLING = 32, 65_535, 4
_ALL = -1
_ANEW = "Save it anew with another program, or as PNG."


@dataclass(frozen=True)
class Head:
    """`bits` is the depth of the components, `tile` the (width, height) of the largest tile."""

    width: int
    height: int
    components: int
    bits: int
    tiles: int
    tile: tuple[int, int]


@dataclass(frozen=True)
class _Coding:
    """`levels` of halving; code blocks and precincts as powers of two, the precincts from the smallest level on."""

    levels: int
    block: tuple[int, int]
    precincts: tuple[tuple[int, int], ...]


@dataclass
class _Told:
    """What the segments have told so far; `coding` by component, and of all others by `_ALL`."""

    head: Head | None = None
    coding: dict[int, _Coding] = field(default_factory=dict)
    layers: int = 0


def read_head(data: bytes) -> tuple[Head, bytes, int]:
    """The head, its bytes without comments, and where the first tile begins.

    Raises:
        InvalidImage: more pieces than are read; more than 8 bits of colour or 16 of gray; exotic markers; cut short.
    """
    kept, told = [data[:2]], _Told()
    at, segments = 2, 0
    while (marker := _number(data, at)) != _START_OF_TILE:
        segments = checked(segments + 1)
        length = _number(data, at + 2)
        segment = data[at : at + 2 + length]
        if marker not in _KEPT | _LEFT_OUT:
            raise refuse(f"is a JPEG 2000 with parts that are not read (marker {marker:04X})", _ANEW)
        if length < 3 or len(segment) < 2 + length:
            raise truncated()
        if marker in _KEPT:
            kept.append(segment)
            _tell(told, marker, segment)
        at += len(segment)
    if told.head is None or _ALL not in told.coding:
        raise damaged("its head is not complete")
    _check_pieces(told.head, told.coding, told.layers)
    return told.head, b"".join(kept), at


def _number(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise truncated()
    return int.from_bytes(data[at : at + 2], "big")


def _tell(told: _Told, marker: int, segment: bytes) -> None:
    try:
        if marker == _SIZE:
            told.head = _size(segment)
        elif marker == _CODING:
            (told.layers,) = struct.unpack_from(">H", segment, 6)
            told.coding[_ALL] = _coding(segment, 9, segment[4])
        elif marker == _COMPONENT_CODING:
            told.coding[segment[4]] = _coding(segment, 6, segment[5])
    except (struct.error, IndexError) as error:
        raise damaged("a segment of its head is too short") from error


def _size(segment: bytes) -> Head:
    right, bottom, left, top, across, down, first_x, first_y, components = struct.unpack_from(">8IH", segment, 6)
    described = segment[40 : 40 + 3 * components]
    if not 1 <= components <= 4 or len(described) != 3 * components:
        raise refuse(f"is a JPEG 2000 of {components:,} components", "Save it as RGB or gray.")
    if not (max(left, top) <= _MOST_OFFSET and left < right < 2**31 and top < bottom < 2**31):
        raise damaged("its size makes no sense")
    if not (first_x <= left < first_x + across and first_y <= top < first_y + down):
        raise damaged("its tiles make no sense")
    steps = described[1::3] + described[2::3]
    if not 1 <= min(steps) <= max(steps) <= _MOST_SUBSAMPLING:
        raise damaged("its components make no sense")
    bits = _depth(described[::3])
    tiles = -(-(right - first_x) // across) * -(-(bottom - first_y) // down)
    if tiles > _MOST_TILES:
        raise refuse(f"is cut into {tiles:,} tiles; at most {_MOST_TILES:,} are read", _ANEW)
    return Head(
        right - left, bottom - top, components, bits, tiles, (min(across, right - left), min(down, bottom - top))
    )


def _depth(precisions: bytes) -> int:
    """Bits of each component. Pillow makes black of white where colours have more than 8, and gray of white below 8."""
    bits, signed = (precisions[0] & 0x7F) + 1, precisions[0] & 0x80
    gray = len(precisions) == 1
    if len(set(precisions)) > 1 or signed or not (bits == 8 or (gray and 8 < bits <= 16)):
        raise refuse(
            "is a JPEG 2000 of other numbers than 8 bits a colour, or 8 to 16 bits of gray",
            "Save it with 8 bits a colour.",
        )
    return bits


def _coding(segment: bytes, at: int, style: int) -> _Coding:
    levels, block = segment[at], (segment[at + 1] + 2, segment[at + 2] + 2)
    if levels > _MOST_LEVELS or not (max(block) <= 10 and sum(block) <= 12):
        raise damaged("its code blocks make no sense")
    sizes = segment[at + 5 : at + 6 + levels] if style & 1 else b"\xff" * (levels + 1)
    if len(sizes) <= levels:
        raise damaged("a segment of its head is too short")
    return _Coding(levels, block, tuple((size & 15, size >> 4) for size in sizes))


def _check_pieces(head: Head, coding: dict[int, _Coding], layers: int) -> None:
    blocks = packets = 0
    for component in range(head.components):
        of_tile = _pieces(head.tile, coding.get(component, coding[_ALL]))
        blocks += head.tiles * of_tile[0]
        packets += head.tiles * of_tile[1] * layers
    if blocks > _MOST_BLOCKS or packets > _MOST_PACKETS or not layers:
        raise refuse("is cut into too many pieces (tiles, precincts, code blocks or layers)", _ANEW)


def _pieces(tile: tuple[int, int], coding: _Coding) -> tuple[int, int]:
    """How many code blocks and precincts the levels of a tile's component have at most."""
    blocks = precincts = 0
    for level, precinct in enumerate(coding.precincts):
        sides = [-(-side >> (coding.levels - level)) or 1 for side in tile]
        across, down = (max(1, -(-side >> power)) for side, power in zip(sides, precinct, strict=True))
        precincts += across * down
        # Three bands of half the side each; blocks end where precincts do.
        halved = 1 if level else 0
        powers = [min(block, max(power - halved, 0)) for block, power in zip(coding.block, precinct, strict=True)]
        wide, high = (
            -(-side >> (power + halved)) + pieces
            for side, power, pieces in zip(sides, powers, (across, down), strict=True)
        )
        blocks += (3 if level else 1) * wide * high
    return blocks, precincts
