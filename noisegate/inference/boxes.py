"""Boxes: the length, name and content of which AVIF and JP2 files consist, one behind or within another."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from noisegate.inference.parts import checked, damaged, truncated


class Box(NamedTuple):
    """`start` is where its length stands; its content is data[content:end]."""

    name: bytes
    start: int
    content: int
    end: int


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes of data[start:end], not those within them; raises InvalidImage where one reaches beyond the end."""
    parts = 0
    while start < end:
        parts = checked(parts + 1)
        if start + 8 > end:
            raise truncated()
        length, name = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if length == 1:
            if start + 16 > end:
                raise truncated()
            (length,) = struct.unpack_from(">Q", data, content)
            content += 8
        box = Box(name, start, content, start + length if length else end)
        if box.end < content:
            raise damaged("a box is shorter than its own head")
        if box.end > end:
            raise truncated()
        yield box
        start = box.end
