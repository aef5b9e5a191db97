"""A contact sheet: pictures in rows, each with two lines of words below it, as a PNG image or an SVG document."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Format = Literal["svg", "png"]

TILE = 96
_COLUMNS = 10
_MARGIN, _GAP, _LINE, _HEAD = 16, 10, 14, 26
_FONT, _HEAD_FONT = 11, 15
# Characters of a line below a picture: what is longer ends in an ellipsis.
_MOST_LETTERS = 17
_INK, _GRAY, _FRAME = "#1a1a1a", "#666666", "#c8c8c8"
# What XML cannot hold, of what a name may.
_NO_XML = {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}


@dataclass(frozen=True)
class Tile:
    """One picture, uint8 [96, 96, 3], and what stands below it."""

    pixels: npt.NDArray[np.uint8]
    lines: tuple[str, str]


@dataclass(frozen=True)
class _Layout:
    """Where things are; lengths in pixels."""

    tiles: int

    @property
    def columns(self) -> int:
        return max(1, min(_COLUMNS, self.tiles))

    @property
    def width(self) -> int:
        # Room for the heading over few pictures.
        return max(640, 2 * _MARGIN + self.columns * (TILE + _GAP) - _GAP)

    @property
    def row_height(self) -> int:
        return TILE + 2 * _LINE + _GAP + 4

    @property
    def height(self) -> int:
        return 2 * _MARGIN + _HEAD + _LINE + -(-self.tiles // self.columns) * self.row_height

    def corner(self, number: int) -> tuple[int, int]:
        """The upper left corner of a picture."""
        row, column = divmod(number, self.columns)
        return _MARGIN + column * (TILE + _GAP), _MARGIN + _HEAD + _LINE + row * self.row_height


def draw_sheet(format: Format, title: str, note: str, tiles: Sequence[Tile]) -> bytes:
    """The sheet; the same arguments give the same bytes.

    Args:
        title: what is shown; `note`, in small letters, is how it was chosen.
    """
    return _svg(title, note, tiles) if format == "svg" else _png(title, note, tiles)


def _png(title: str, note: str, tiles: Sequence[Tile]) -> bytes:
    layout = _Layout(len(tiles))
    picture = Image.new("RGB", (layout.width, layout.height), "white")
    draw = ImageDraw.Draw(picture)
    small = ImageFont.load_default(size=_FONT)
    draw.text((_MARGIN, _MARGIN), title, fill=_INK, font=ImageFont.load_default(size=_HEAD_FONT))
    draw.text((_MARGIN, _MARGIN + _HEAD - 4), note, fill=_GRAY, font=small)
    for number, tile in enumerate(tiles):
        left, top = layout.corner(number)
        draw.rectangle((left - 1, top - 1, left + TILE, top + TILE), outline=_FRAME)
        picture.paste(Image.fromarray(tile.pixels), (left, top))
        for line, words in enumerate(tile.lines):
            place = left, top + TILE + 2 + line * _LINE
            draw.text(place, _shortened(words), fill=_GRAY if line else _INK, font=small)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _svg(title: str, note: str, tiles: Sequence[Tile]) -> bytes:
    layout = _Layout(len(tiles))
    size = f'width="{layout.width}" height="{layout.height}" viewBox="0 0 {layout.width} {layout.height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family="sans-serif">',
        f"<title>{_escaped(title)}</title><desc>{_escaped(note)}</desc>",
        '<rect width="100%" height="100%" fill="white"/>',
        _text(_MARGIN, _MARGIN + _HEAD_FONT, title, _HEAD_FONT, _INK),
        _text(_MARGIN, _MARGIN + _HEAD + _FONT - 4, note, _FONT, _GRAY),
    ]
    for number, tile in enumerate(tiles):
        left, top = layout.corner(number)
        box = f'x="{left}" y="{top}" width="{TILE}" height="{TILE}"'
        # Words in full, as a tooltip and for screen readers.
        parts.append(
            f"<g><title>{_escaped(', '.join(tile.lines))}</title>"
            f'<image {box} href="data:image/png;base64,{_encoded(tile.pixels)}"/>'
            f'<rect {box} fill="none" stroke="{_FRAME}"/>'
            + "".join(
                _text(left, top + TILE + (line + 1) * _LINE, _shortened(words), _FONT, _GRAY if line else _INK)
                for line, words in enumerate(tile.lines)
            )
            + "</g>"
        )
    return "\n".join([*parts, "</svg>", ""]).encode()


def _text(left: int, base: int, words: str, size: int, colour: str) -> str:
    return f'<text x="{left}" y="{base}" font-size="{size}" fill="{colour}">{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    plain = "".join(letter if letter >= " " else "\ufffd" for letter in words)
    return html.escape(plain.encode("utf-8", "replace").decode()).translate(_NO_XML)


def _encoded(pixels: npt.NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _shortened(words: str) -> str:
    return words if len(words) <= _MOST_LETTERS else f"{words[: _MOST_LETTERS - 1]}…"
