"""Image files to pixels without holding up the event loop: small ones at once, all others in threads."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from anyio import CapacityLimiter, to_thread

from noisegate.inference.decoding import ImageLimits, decode_image, open_image
from noisegate.manifest import ModelManifest
from service.metrics import DECODE_SECONDS

Result = TypeVar("Result")
# The pixels of an image, and the seconds that decoding took.
Decoded = tuple[npt.NDArray[np.uint8], float]

# A thread costs more than decoding what is below both. A file that small can still hold 50 million pixels, so its header is
# read before it is decided.
_SMALL_BYTES = 32 * 1024
_SMALL_PIXELS = 128 * 128
# In one go: a millisecond or two of small files.
_GROUP_BYTES = 64 * 1024
_MOST_IN_GROUP = 64


def _is_small(image: bytes) -> bool:
    return len(image) <= _SMALL_BYTES


def groups_of(sizes: Sequence[int]) -> Iterator[range]:
    """Which images of so many bytes to decode in one go: one, or as many small ones as are decoded in a turn of the event loop."""
    start, held = 0, 0
    for place, size in enumerate(sizes):
        if place > start and (held + size > _GROUP_BYTES or place - start == _MOST_IN_GROUP):
            yield range(start, place)
            start, held = place, 0
        held += size
    if sizes:
        yield range(start, len(sizes))


class Decoder:
    """Decodes for one process; as many large images at once as there are cores, as one of 50 million pixels may take 750 MiB."""

    def __init__(self, limits: ImageLimits) -> None:
        self.limits = limits
        cores = os.cpu_count() or 1
        self._threads = CapacityLimiter(cores)
        # Whole batches decode with half as many, so that a single image never waits behind a thousand of theirs.
        self._patient_threads = CapacityLimiter(max(1, cores // 2))

    async def decode_all(self, images: Sequence[bytes], manifest: ModelManifest) -> list[Decoded | Exception]:
        """As `decode` of each of `images`, or its error; large ones beside each other, among those of other callers with many."""

        async def one(image: bytes) -> Decoded | Exception:
            try:
                return await self.decode(image, manifest, patient=True)
            except Exception as error:  # whatever it was, the other images have nothing to do with it
                return error

        large = {place: asyncio.create_task(one(image)) for place, image in enumerate(images) if not _is_small(image)}
        try:
            return [await (large[place] if place in large else one(image)) for place, image in enumerate(images)]
        finally:
            for task in large.values():
                task.cancel()

    async def decode(self, image: bytes, manifest: ModelManifest, *, patient: bool = False) -> Decoded:
        """The pixels as this model takes them, uint8 [size, size, 3], and the seconds it took, waiting included.

        Args:
            patient: wait among the images of whole batches.

        Raises:
            InvalidImage, TooLarge: as decode_image.
        """
        started = time.perf_counter()
        pixels = await self._decoded(image, manifest, self._patient_threads if patient else self._threads)
        seconds = time.perf_counter() - started
        DECODE_SECONDS.observe(seconds)
        return pixels, seconds

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises, from a thread."""
        return await to_thread.run_sync(work, limiter=self._threads)

    async def _decoded(self, image: bytes, manifest: ModelManifest, threads: CapacityLimiter) -> npt.NDArray[np.uint8]:
        size, fitting = manifest.image_size, manifest.fitting
        if not _is_small(image):
            return await to_thread.run_sync(decode_image, image, size, self.limits, fitting, limiter=threads)
        opened = open_image(image, self.limits)
        if opened.width * opened.height > _SMALL_PIXELS:
            return await to_thread.run_sync(opened.pixels, size, fitting, limiter=threads)
        return opened.pixels(size, fitting)
