"""Image files to pixels without holding up the event loop: small ones at once, all others in threads."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from anyio import CapacityLimiter, to_thread

from noisegate.inference.decoding import ImageLimits, decode_image, open_image
from noisegate.manifest import ModelManifest
from service.metrics import DECODE_SECONDS

Result = TypeVar("Result")

# A thread costs more than decoding what is below both. A file that small can still hold 50 million pixels, so its header is
# read before it is decided.
_SMALL_BYTES = 32 * 1024
_SMALL_PIXELS = 128 * 128


class Decoder:
    """Decodes for one process; as many large images at once as there are cores, as one of 50 million pixels may take 750 MiB."""

    def __init__(self, limits: ImageLimits) -> None:
        self.limits = limits
        cores = os.cpu_count() or 1
        self._threads = CapacityLimiter(cores)
        # Whole batches decode with half as many, so that a single image never waits behind a thousand of theirs.
        self._patient_threads = CapacityLimiter(max(1, cores // 2))

    async def decode(
        self, image: bytes, manifest: ModelManifest, *, patient: bool = False
    ) -> tuple[npt.NDArray[np.uint8], float]:
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
        if len(image) > _SMALL_BYTES:
            return await to_thread.run_sync(decode_image, image, size, self.limits, fitting, limiter=threads)
        opened = open_image(image, self.limits)
        if opened.width * opened.height > _SMALL_PIXELS:
            return await to_thread.run_sync(opened.pixels, size, fitting, limiter=threads)
        return opened.pixels(size, fitting)
