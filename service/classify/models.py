"""Loaded models: found by id or alias, each loaded once and off the event loop, the least used given up first."""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from anyio import CapacityLimiter, to_thread
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from noisegate.inference.classifier import Classifier, UnusableModel
from noisegate.inference.decision import Decision
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.manifest import ModelManifest
from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.errors import ModelUnusable

Result = TypeVar("Result")


@dataclass(frozen=True)
class Loaded:
    """A model ready to classify, and the id that was found for what the caller named."""

    id: str
    classifier: Classifier


class Classifiers:
    """The models of this process. Used from one event loop, so its dictionaries need no lock."""

    def __init__(self, settings: Settings, sessions: Sessions, artefacts: Artefacts) -> None:
        self._sessions = sessions
        self._artefacts = artefacts
        self._capacity = settings.model_cache
        self._refresh_seconds = settings.alias_refresh_seconds
        self.limits = ImageLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels)
        self._loads: OrderedDict[str, asyncio.Task[Classifier]] = OrderedDict()
        # Only what the database knows gets in here, so it grows no larger than the registry.
        self._resolved: dict[str, tuple[str, float]] = {}
        # One image a core: a decoded image may take 150 MB, and more threads than cores gain nothing.
        self._threads = CapacityLimiter(os.cpu_count() or 1)

    async def find(self, reference: str) -> Loaded:
        """The model with this id or alias.

        Raises:
            NotFound: there is none.
            ModelUnusable: its files are missing or damaged.
        """
        id = await self._resolve(reference)
        return Loaded(id, await self._load_once(id))

    async def classify(self, model: Loaded, image: bytes, max_false_reject: float) -> Decision:
        """The decision on one encoded image.

        Raises:
            InvalidImage, TooLarge: as decode_image.
        """
        return await self.compute(partial(_decide, model.classifier, image, max_false_reject, self.limits))

    async def compute(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises, from a thread; as many at once as there are cores.

        Always in a thread, though a decision costs some 50 µs: a file of 50 kB can hold 50 million pixels, and no look at
        its size tells.
        """
        return await to_thread.run_sync(work, limiter=self._threads)

    async def _resolve(self, reference: str) -> str:
        known = self._resolved.get(reference)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        asked_at = time.monotonic()
        id = await run_in_threadpool(self._look_up, reference)
        self._resolved[reference] = (id, asked_at + self._refresh_seconds)
        return id

    def _look_up(self, reference: str) -> str:
        with self._sessions.reading() as session:
            return models.get(session, reference).id

    async def _load_once(self, id: str) -> Classifier:
        if id not in self._loads:
            task = asyncio.create_task(run_in_threadpool(self._load, id))
            task.add_done_callback(partial(self._forget_failed, id))
            self._loads[id] = task
            if len(self._loads) > self._capacity:
                self._loads.popitem(last=False)
        self._loads.move_to_end(id)
        # Others may wait for the same load: it goes on when this request is given up.
        return await asyncio.shield(self._loads[id])

    def _forget_failed(self, id: str, task: asyncio.Task[Classifier]) -> None:
        if (task.cancelled() or task.exception() is not None) and self._loads.get(id) is task:
            del self._loads[id]

    def _load(self, id: str) -> Classifier:
        with self._sessions.reading() as session:
            row = models.get(session, id)
        try:
            manifest = ModelManifest.model_validate(row.manifest)
            return Classifier(self._artefacts.read(row.onnx_digest), manifest)
        except (OSError, UnusableModel, ValidationError) as error:
            # An OSError would name a path on this machine.
            reason = error.strerror if isinstance(error, OSError) else str(error)
            remedy = "Choose another model, or point the alias at one with PUT /aliases/{name}."
            raise ModelUnusable(f"model {id} cannot be loaded: {reason}", field="model", remedy=remedy) from error


def _decide(classifier: Classifier, image: bytes, max_false_reject: float, limits: ImageLimits) -> Decision:
    pixels = decode_image(image, classifier.manifest.image_size, limits)
    (decision,) = classifier.classify(pixels[np.newaxis], max_false_reject)
    return decision
