"""What has come out of an upload so far, decoded."""

import os
import time
from collections.abc import Callable, Iterable
from typing import IO

import numpy as np
import numpy.typing as npt

from noisegate.data.bad_images import BadImages
from noisegate.data.layouts import Contents
from noisegate.data.layouts.words import count
from noisegate.data.members import Arriving, Attachment, EmptyFolder, Label, LeftOut, Member, Told
from noisegate.data.originals import Arrivals
from noisegate.data.reporting import ImageCounts
from noisegate.errors import InvalidImage, TooLarge
from noisegate.inference.decoding import ImageLimits, open_image, resize_pixels

_PROGRESS_SECONDS = 0.5
# Of 255: what 12 bits in 16 come to.
_DIM = 16


class Arrived:
    """What has come out of an upload so far: pixels in `scratch`, files in `files`, and all else that a layout asks for."""

    def __init__(
        self, files: Arrivals, scratch: IO[bytes], image_size: int, limits: ImageLimits, bad_images: BadImages
    ) -> None:
        self.files = files
        self.paths: list[str] = []
        self.sides = ImageCounts()
        self._labels: list[Label | None] = []
        self._attachments: dict[str, bytes] = {}
        self._left_out: list[LeftOut] = []
        self._empty_folders: list[str] = []
        self.told: list[str] = []
        self._dim: list[str] = []
        self._scratch = scratch
        self._image_size = image_size
        self._limits = limits
        self._bad_images = bad_images

    @property
    def count(self) -> int:
        """Images decoded."""
        return len(self.paths)

    def take(self, members: Iterable[Arriving], progress: Callable[[int], None]) -> None:
        """All of them, telling `progress` of the images decoded; raises for those that are bad, once all have been looked at."""
        told_at = time.monotonic()
        for member in members:
            if isinstance(member, Member):
                self._decode(member)
            elif isinstance(member, Attachment):
                self._attachments[member.name] = member.content
            elif isinstance(member, EmptyFolder):
                self._empty_folders.append(member.name)
            elif isinstance(member, Told):
                self.told.append(member.sentence)
            else:
                self._left_out.append(member)
            # By the clock: 256 small images are decoded in a moment, 256 photographs in a minute.
            if time.monotonic() - told_at >= _PROGRESS_SECONDS:
                progress(self.count)
                told_at = time.monotonic()
        self._scratch.flush()
        self.files.flush()
        progress(self.count)
        self._left_out += self._bad_images.left_out(self.count)
        if self._dim:
            what = f"{count(len(self._dim), 'image')} of 16 bits came out nearly black, such as {self._dim[0]!r}"
            self.told.append(f"{what}: white is 65,535, and no value is much above {_DIM * 257:,}")

    def contents(self) -> Contents:
        return Contents(self.paths, self._labels, self._attachments, self._left_out, self._empty_folders)

    def pixels(self, index: int, image_bytes: int) -> bytes:
        """Of the image that came as number `index`."""
        return os.pread(self._scratch.fileno(), image_bytes, index * image_bytes)

    def _decode(self, member: Member) -> None:
        try:
            pixels = self._pixels(member)
        except (InvalidImage, TooLarge) as error:
            self._bad_images.add(member.name, error, member.label)
            return
        self._scratch.write(pixels.data)
        self.files.add(member)
        self.paths.append(member.name)
        self._labels.append(member.label)

    def _pixels(self, member: Member) -> npt.NDArray[np.uint8]:
        if not isinstance(member.content, bytes):
            height, width = member.content.shape[:2]
            self.sides.add(None, width, height)
            return resize_pixels(member.content, self._image_size)
        image = open_image(member.content, self._limits)
        pixels = image.pixels(self._image_size)
        self.sides.add(image.container.kind, image.width, image.height)
        if image.lazy is not None and image.lazy.mode.startswith("I;16") and pixels.max() <= _DIM:
            self._dim.append(member.name)
        return pixels
