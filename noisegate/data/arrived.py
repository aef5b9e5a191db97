"""What has come out of an upload so far, decoded."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import IO

from noisegate.data.bad_images import BadImages
from noisegate.data.decoding import DIM, Decoded, Decoder, Outcome
from noisegate.data.layouts import Contents
from noisegate.data.layouts.words import count
from noisegate.data.members import Arriving, Attachment, EmptyFolder, Label, LeftOut, Member, Told
from noisegate.data.originals import Arrivals
from noisegate.data.reporting import ImageCounts
from noisegate.inference.decoding import resize_pixels

_PROGRESS_SECONDS = 0.5


class Arrived:
    """What has come out of an upload so far: pixels in `scratch`, files in `files`, and all else that a layout asks for."""

    def __init__(self, files: Arrivals, scratch: IO[bytes], image_size: int, bad_images: BadImages) -> None:
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
        # Given to the decoder, and not come back yet.
        self._under_way: deque[Member] = deque()
        self._bad_images = bad_images

    @property
    def count(self) -> int:
        """Images decoded."""
        return len(self.paths)

    def take(self, members: Iterable[Arriving], decoder: Decoder, progress: Callable[[int], None]) -> None:
        """All of them, telling `progress` of the images decoded; raises for those that are bad, once all have been looked at."""
        told_at = time.monotonic()
        for member in members:
            if isinstance(member, Member):
                self._decode(member, decoder)
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
        self._keep(decoder.rest())
        self._scratch.flush()
        self.files.flush()
        progress(self.count)
        self._left_out += self._bad_images.left_out(self.count)
        if self._dim:
            what = f"{count(len(self._dim), 'image')} of 16 bits came out nearly black, such as {self._dim[0]!r}"
            self.told.append(f"{what}: white is 65,535, and no value is much above {DIM * 257:,}")

    def contents(self) -> Contents:
        return Contents(self.paths, self._labels, self._attachments, self._left_out, self._empty_folders)

    def pixels(self, index: int, image_bytes: int) -> bytes:
        """Of the image that came as number `index`."""
        return os.pread(self._scratch.fileno(), image_bytes, index * image_bytes)

    def _decode(self, member: Member, decoder: Decoder) -> None:
        if isinstance(member.content, bytes):
            self._under_way.append(member)
            self._keep(decoder.give(member.content))
            return
        self._keep(decoder.rest())  # what came before it
        height, width = member.content.shape[:2]
        self._add(member, resize_pixels(member.content, self._image_size).tobytes())
        self.sides.add(None, width, height)

    def _keep(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            member = self._under_way.popleft()
            if not isinstance(outcome, Decoded):
                self._bad_images.add(member.name, outcome, member.label)
                continue
            self._add(member, outcome.pixels)
            self.sides.add(outcome.kind, outcome.width, outcome.height)
            if outcome.is_dim:
                self._dim.append(member.name)

    def _add(self, member: Member, pixels: bytes) -> None:
        self._scratch.write(pixels)
        self.files.add(member)
        self.paths.append(member.name)
        self._labels.append(member.label)
