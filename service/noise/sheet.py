"""A sheet of noise images: one labelled row a group, enlarged so that single pixels can be seen. Pillow only."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from noisegate.noise import NoiseFamily
from noisegate.noise.drawing import noise_images

# What a sheet may have at most; further rows are left out. MAX_WORK is in values drawn, where one under a median filter
# counts once for each pixel of its window: a few seconds of a processor.
MAX_PIXELS = 8_000_000
MAX_ROWS = 64
MAX_WORK = 50_000_000

MARGIN = 20
LABEL_WIDTH = 200
GAP = 6
ROW_GAP = 14
LINE_HEIGHT = 19
TILE = 96  # about what an image is enlarged to

INK, GRAY, FRAME = "#1a1a1a", "#666666", "#c8c8c8"


@dataclass(frozen=True)
class SheetRow:
    """One group of a noise spec, and what to call it."""

    title: str
    group: NoiseFamily

    @property
    def details(self) -> list[str]:
        return self.group.details()


@dataclass(frozen=True)
class SheetLayout:
    """Where things are on a sheet whose rows have `columns` images of `image_size` pixels; lengths in pixels."""

    image_size: int
    columns: int

    @property
    def enlargement(self) -> int:
        return max(1, round(TILE / self.image_size))

    @property
    def tile(self) -> int:
        return self.image_size * self.enlargement

    @property
    def width(self) -> int:
        return 2 * MARGIN + LABEL_WIDTH + self.columns * (self.tile + GAP) - GAP

    @property
    def row_height(self) -> int:
        return self.tile + ROW_GAP

    @property
    def most_rows(self) -> int:
        return min(MAX_ROWS, MAX_PIXELS // (self.width * self.row_height))

    @property
    def values_a_row(self) -> int:
        return self.columns * self.image_size**2 * 3

    def top(self, row: int) -> int:
        """Of a row of images, below the heading and the rows before."""
        return MARGIN + LINE_HEIGHT + ROW_GAP + row * self.row_height

    def left(self, column: int) -> int:
        """Of an image, right of the label and the images before."""
        return MARGIN + LABEL_WIDTH + column * (self.tile + GAP)


@dataclass(frozen=True)
class Sheet:
    """Rows that fit, and whether there would have been more."""

    layout: SheetLayout
    rows: Sequence[SheetRow]
    complete: bool

    @property
    def needs_training_images(self) -> bool:
        return any(row.group.needs_training_images for row in self.rows)


def plan_sheet(noises: Iterable[NoiseFamily], layout: SheetLayout) -> Sheet:
    """A row for each group of each spec, as many as a sheet may have."""
    fitting: list[SheetRow] = []
    work = 0
    for row in _rows(noises):
        work += layout.values_a_row * row.group.work_per_value
        if len(fitting) == layout.most_rows or work > MAX_WORK:
            return Sheet(layout, fitting, complete=False)
        fitting.append(row)
    return Sheet(layout, fitting, complete=True)


def draw_sheet(sheet: Sheet, seed: int, training_images: npt.NDArray[np.uint8] | None) -> bytes:
    """The sheet as a PNG file; the same arguments give the same bytes.

    Args:
        training_images: (n, image_size, image_size, 3); needed if `sheet.needs_training_images`.
    """
    layout = sheet.layout
    height = layout.top(len(sheet.rows)) - ROW_GAP + MARGIN + (0 if sheet.complete else ROW_GAP + LINE_HEIGHT)
    picture = Image.new("RGB", (layout.width, height), "white")
    draw = ImageDraw.Draw(picture)
    title_font, font = ImageFont.load_default(size=16), ImageFont.load_default(size=13)
    draw.text((MARGIN, MARGIN), _heading(layout, seed), fill=GRAY, font=font)
    for number, row in enumerate(sheet.rows):
        top = layout.top(number)
        draw.text((MARGIN, top), row.title, fill=INK, font=title_font)
        for line, detail in enumerate(row.details, start=1):
            draw.text((MARGIN, top + line * LINE_HEIGHT + 3), detail, fill=GRAY, font=font)
        images = noise_images(
            np.random.default_rng([seed, number]), row.group, layout.columns, layout.image_size, training_images
        )
        for column, pixels in enumerate(images):
            _place(picture, draw, (layout.left(column), top), layout.tile, pixels)
    if not sheet.complete:
        draw.text((MARGIN, layout.top(len(sheet.rows))), "Further rows are left out.", fill=GRAY, font=font)
    return _png(picture)


def _rows(noises: Iterable[NoiseFamily]) -> Iterator[SheetRow]:
    for noise in noises:
        groups = noise.groups()
        for number, group in enumerate(groups, start=1):
            # A mixture's groups are gaussian: the number says which of them.
            own = group.family == noise.family
            yield SheetRow(group.title if own else f"{noise.family}, {number} of {len(groups)}", group)


def _heading(layout: SheetLayout, seed: int) -> str:
    enlarged = "" if layout.enlargement == 1 else f", enlarged {layout.enlargement} times"
    return f"{layout.image_size} by {layout.image_size} pixels{enlarged} · seed {seed}"


def _place(
    picture: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], tile: int, pixels: npt.NDArray[np.uint8]
) -> None:
    left, top = corner
    # A frame outside of the image: white noise images end somewhere, too.
    draw.rectangle((left - 1, top - 1, left + tile, top + tile), outline=FRAME)
    picture.paste(Image.fromarray(pixels).resize((tile, tile), Image.Resampling.NEAREST), corner)


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    # Noise hardly compresses; trying harder costs seconds.
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()
