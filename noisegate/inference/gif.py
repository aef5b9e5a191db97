"""GIF: the screen, the one picture and its transparent colour are kept; comments and extensions of programs are cut away.

The canvas is the screen, grown where the picture reaches beyond it, as Pillow grows it. Rebuilt before Pillow opens it, as
Pillow looks for further pictures one small block after another, and warns about large canvases.
"""

import struct
from dataclasses import dataclass

from noisegate.inference.parts import Container, animated, checked, damaged, truncated

# Of at most 255 bytes each: 10 MiB of pixels have 41,000.
_MOST_BLOCKS = 200_000
_EXTENSION, _PICTURE, _PADDING, _END = 0x21, 0x2C, 0x00, 0x3B
_GRAPHIC_CONTROL = 0xF9
_HAS_PALETTE = 0x80


@dataclass
class _Found:
    """What has been met so far; `blocks` counts all parts."""

    control: bytes = b""
    picture: bytes = b""
    corner: tuple[int, int] = (0, 0)
    blocks: int = 0


def unwrap_gif(data: bytes) -> Container:
    """A GIF of one picture; raises InvalidImage if it is animated, damaged, cut short or of too many parts."""
    if len(data) < 13:
        raise truncated()
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    start = 13 + _palette_bytes(flags)
    found = _Found()
    at = start
    while (introducer := _byte(data, at)) != _END:
        found.blocks = checked(found.blocks + 1, _MOST_BLOCKS)
        if introducer == _EXTENSION:
            at = _extension(data, at, found)
        elif introducer == _PICTURE:
            at = _picture(data, at, found)
        elif introducer == _PADDING:
            at += 1
        else:
            raise damaged("there is something else where a block of the GIF should begin")
    if not found.picture:
        raise damaged("there is no picture in it")
    pixels = max(width, found.corner[0]) * max(height, found.corner[1])
    return Container("GIF", b"".join([data[:start], found.control, found.picture, b";"]), 1, pixels)


def _extension(data: bytes, at: int, found: _Found) -> int:
    end = _end_of_blocks(data, at + 2, found)
    # The last one before the picture counts.
    if _byte(data, at + 1) == _GRAPHIC_CONTROL and not found.picture:
        if _byte(data, at + 2) < 4:
            raise damaged("a block of the GIF is too short")
        found.control = data[at:end]
    return end


def _picture(data: bytes, at: int, found: _Found) -> int:
    if found.picture:
        raise animated()
    if at + 11 > len(data):
        raise truncated()
    left, top, width, height, flags = struct.unpack_from("<HHHHB", data, at + 1)
    found.corner = left + width, top + height
    # A byte of the code size lies before the blocks.
    end = _end_of_blocks(data, at + 11 + _palette_bytes(flags), found)
    found.picture = data[at:end]
    return end


def _end_of_blocks(data: bytes, at: int, found: _Found) -> int:
    while length := _byte(data, at):
        found.blocks = checked(found.blocks + 1, _MOST_BLOCKS)
        at += 1 + length
    return at + 1


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & _HAS_PALETTE else 0


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise truncated()
    return data[at]
