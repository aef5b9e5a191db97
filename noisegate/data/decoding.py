"""Images of an upload to pixels: in this process, or many of them by a process beside it while this one unpacks the next.

A thread would not do: between images the interpreter holds its lock, and each hand-over of it takes longer than a small JPEG.
"""

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Queue
from types import TracebackType
from typing import IO, NamedTuple, Self

import numpy as np

from noisegate.errors import InvalidImage, TooLarge
from noisegate.inference.decoding import ImageLimits, open_image

# Of 255: what 12 bits in 16 come to.
DIM = 16
# A process of its own takes half a second to start: uploads that are over before then go without.
_BESIDE_FROM_IMAGES = 1_000
_BESIDE_FROM_BYTES = 8 * 2**20
# One hand-over to it, of as many images or bytes.
_BATCH_IMAGES = 256
_BATCH_BYTES = 2**20
_MOST_UNDER_WAY = 3
_COUNT = struct.Struct("<I")


class Decoded(NamedTuple):
    """One image's pixels, uint8 RGB, row by row, and what its file says of it.

    Attributes:
        is_dim: 16 bits of which hardly any are used.
    """

    pixels: bytes
    kind: str
    width: int
    height: int
    is_dim: bool


Outcome = Decoded | InvalidImage | TooLarge


def decode(content: bytes, image_size: int, limits: ImageLimits) -> Outcome:
    """The image at this size, or what is wrong with it."""
    try:
        image = open_image(content, limits)
        pixels = image.pixels(image_size)
    except (InvalidImage, TooLarge) as error:
        return error
    is_deep = image.lazy is not None and image.lazy.mode.startswith("I;16")
    is_dim = bool(is_deep and pixels.max() <= DIM)
    return Decoded(pixels.tobytes(), image.container.kind, image.width, image.height, is_dim)


class Decoder:
    """Decodes images in the order in which they are given, of many uploads' worth by a process beside this one.

    Args:
        beside: whether there may be such a process.
    """

    def __init__(self, image_size: int, limits: ImageLimits, *, beside: bool) -> None:
        self._image_size, self._limits = image_size, limits
        self._may_start = beside and (os.cpu_count() or 1) > 1
        self._beside: _Beside | None = None
        self._batch: list[bytes] = []
        self._batch_bytes = self._images = self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._beside is not None:
            self._beside.end()

    def give(self, content: bytes) -> Iterator[Outcome]:
        """One more image; what has been decoded so far comes back, in order, and the rest with later ones or from `rest`."""
        if self._beside is None:
            yield decode(content, self._image_size, self._limits)
            self._images, self._bytes = self._images + 1, self._bytes + len(content)
            if self._may_start and (self._images >= _BESIDE_FROM_IMAGES or self._bytes >= _BESIDE_FROM_BYTES):
                self._beside = _Beside(self._image_size, self._limits)
            return
        self._batch.append(content)
        self._batch_bytes += len(content)
        if len(self._batch) >= _BATCH_IMAGES or self._batch_bytes >= _BATCH_BYTES:
            yield from self._hand_over(self._beside)

    def rest(self) -> Iterator[Outcome]:
        """What has been given and has not come back."""
        if self._beside is not None:
            yield from self._hand_over(self._beside)
            while self._beside.under_way:
                yield from self._beside.take()

    def _hand_over(self, beside: "_Beside") -> Iterator[Outcome]:
        if self._batch:
            beside.give(self._batch)
            self._batch, self._batch_bytes = [], 0
        if beside.under_way >= _MOST_UNDER_WAY:
            yield from beside.take()


class _Beside:
    """The other process, seen from here. It ends when its standard input does, so it never outlives this one."""

    def __init__(self, image_size: int, limits: ImageLimits) -> None:
        command = [sys.executable, "-m", __name__, str(image_size), str(limits.max_bytes), str(limits.max_pixels)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  # nosec B603
        self._image_bytes = 3 * image_size**2
        self.under_way = 0
        # Written by a thread: both sides would wait for ever if each wrote while neither read.
        self._to_write: Queue[Sequence[bytes] | None] = Queue()
        self._writer = threading.Thread(target=self._write, name="to the decoder", daemon=True)
        self._writer.start()

    def give(self, contents: Sequence[bytes]) -> None:
        self._to_write.put(contents)
        self.under_way += 1

    def take(self) -> Iterator[Outcome]:
        """What came of the oldest batch that was given."""
        assert self._process.stdout is not None
        self.under_way -= 1
        for found in json.loads(_read_piece(self._process.stdout) or self._gone()):
            if found[0] == "image":
                pixels = self._process.stdout.read(self._image_bytes)
                if len(pixels) < self._image_bytes:
                    self._gone()
                yield Decoded(pixels, *found[1:])
            else:
                kind = TooLarge if found[0] == "large" else InvalidImage
                yield kind(found[1], field=found[2], remedy=found[3])

    def end(self) -> None:
        """Whatever is under way is not wanted any more."""
        self._process.kill()
        self._to_write.put(None)
        self._writer.join()
        self._process.communicate()

    def _write(self) -> None:
        assert self._process.stdin is not None
        # One that is gone is noticed where its results are read.
        with suppress(BrokenPipeError):
            while (contents := self._to_write.get()) is not None:
                sizes = struct.pack(f"<{len(contents)}I", *map(len, contents))
                self._process.stdin.write(_COUNT.pack(len(contents)) + sizes + b"".join(contents))
                self._process.stdin.flush()

    def _gone(self) -> bytes:
        raise RuntimeError(f"the process that decodes ended with exit code {self._process.wait()}")


def main() -> None:
    """The other process: batches from standard input, what came of each to standard output."""
    image_size, max_bytes, max_pixels = map(int, sys.argv[1:])
    limits = ImageLimits(max_bytes=max_bytes, max_pixels=max_pixels)
    given, out = sys.stdin.buffer, sys.stdout.buffer
    while head := given.read(_COUNT.size):
        (count,) = _COUNT.unpack(head)
        sizes = np.frombuffer(given.read(4 * count), "<u4").tolist()
        outcomes = [decode(given.read(size), image_size, limits) for size in sizes]
        told = json.dumps([_told(outcome) for outcome in outcomes]).encode()
        out.write(_COUNT.pack(len(told)) + told)
        out.write(b"".join(one.pixels for one in outcomes if isinstance(one, Decoded)))
        out.flush()


def _told(outcome: Outcome) -> list[object]:
    if isinstance(outcome, Decoded):
        return ["image", *outcome[1:]]
    return ["large" if isinstance(outcome, TooLarge) else "invalid", outcome.detail, outcome.field, outcome.remedy]


def _read_piece(file: IO[bytes]) -> bytes:
    head = file.read(_COUNT.size)
    return file.read(*_COUNT.unpack(head)) if len(head) == _COUNT.size else b""


if __name__ == "__main__":
    main()
