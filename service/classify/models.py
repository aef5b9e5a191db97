"""The models of this process: found by id or alias without asking the database, loaded aside, the least used given up first."""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import structlog
from sqlalchemy.exc import SQLAlchemyError

from noisegate.data.limits import image_limits
from noisegate.decision_rule import DecisionRule
from noisegate.errors import NoisegateError, NotFound
from noisegate.inference.classifier import Classifier
from noisegate.rejection.decision import DecisionOptions
from noisegate.store import models
from noisegate.store.artefacts import Artefacts
from noisegate.store.models import DEFAULT_ALIAS, Named
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from service.access import ANYBODY, Caller
from service.classify.batching import Answered, Batcher, ConcurrencyLimit, most_together
from service.classify.decoding import Decoder
from service.classify.loading import LoadedModel, Loader
from service.ending import in_a_thread
from service.errors import ModelUnusable
from service.metrics import MODELS_BYTES, MODELS_LOADED, OUTCOMES, QUEUE_SECONDS

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Loaded:
    """A model ready to classify: its id, the SHA-256 of its model.onnx, its queue, and the rule that is set on it, if any."""

    id: str
    version: str
    classifier: Classifier
    batcher: Batcher
    rule: DecisionRule | None = None


class Classified(NamedTuple):
    """What came of one image file, and the seconds that decoding it took."""

    answered: Answered
    decode_seconds: float


class Classifiers:
    """The models of this process. Used from one event loop, so its dictionaries need no lock.

    What names stand for is remembered, and looked up again in the background: a request that finds its model asks no
    database, and none has to be there. A name that has moved goes on meaning the old model until the new one is loaded.
    """

    def __init__(self, settings: Settings, sessions: Sessions, artefacts: Artefacts) -> None:
        self._settings = settings
        self._sessions = sessions
        self._loader = Loader(sessions, artefacts, settings.runtime)
        self.decoder = Decoder(image_limits(settings))
        # Loads in the order of their last use. One at a time runs, so that traffic keeps its core.
        self._loads: OrderedDict[str, asyncio.Task[Loaded]] = OrderedDict()
        self._one_load = asyncio.Lock()
        # Only what the database knows gets in here, so it grows no larger than the registry.
        self._names: dict[str, Named] = {}
        self._troubles: dict[str, str] = {}
        # The model that a name could not move to last, and when.
        self._failed: dict[str, float] = {}
        self.batches = ConcurrencyLimit(settings.max_batches)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="predict")

    def close(self) -> None:
        """End its threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def find(self, reference: str, caller: Caller = ANYBODY) -> Loaded:
        """The model with this id or alias, if it exists for this caller.

        Raises:
            NotFound: there is none.
            ModelUnusable: its files are missing or damaged, or it is larger than all models together may be.
        """
        found = self._names.get(reference)
        if found is None:
            found = await in_a_thread(self._look_up, reference)
            self._names[reference] = found
        # Before it is loaded: what there is not for this caller takes no room, and tells nothing of itself.
        if not all(map(caller.sees, found.owners)):
            raise models.not_found(reference)
        loaded = await self._load_once(found.id)
        return replace(loaded, rule=found.rule) if found.rule else loaded

    async def classify(self, model: Loaded, image: bytes, options: DecisionOptions) -> Classified:
        """The decision on one encoded image, which is decoded before it waits for anything else.

        Raises:
            InvalidInput: the model's holdout cannot promise what the options ask for, or it has not the scores of the rule.
            InvalidImage, TooLarge: as decode_image.
            Busy, ModelUnusable: as Batcher.decide.
        """
        model.classifier.budget(options)
        pixels, seconds = await self.decoder.decode(image, model.classifier.manifest)
        answered = await model.batcher.decide(pixels, options)
        _count(answered)
        return Classified(answered, seconds)

    async def classify_all(
        self, model: Loaded, images: Sequence[bytes], options: DecisionOptions
    ) -> list[Classified | Exception]:
        """The same of each of `images`, or its error. They wait for room, as images of one caller that has many.

        Raises:
            InvalidInput: as `classify`.
        """
        decoded = await self.decoder.decode_all(images, model.classifier.manifest)
        pixels = [one[0] for one in decoded if not isinstance(one, Exception)]
        answers = iter(await self.decide_all(model, pixels, options))
        return [one if isinstance(one, Exception) else _classified(next(answers), one[1]) for one in decoded]

    async def decide_all(
        self, model: Loaded, images: Sequence[npt.NDArray[np.uint8]], options: DecisionOptions
    ) -> list[Answered | Exception]:
        """The decision on each decoded image, uint8 [size, size, 3]; arguments and errors are those of Batcher.decide_all.

        Raises:
            InvalidInput: the model's holdout cannot promise what the options ask for, or it has not the scores of the rule.
        """
        # Before they stand in line with the images of others, whose batch they would end.
        model.classifier.budget(options)
        found = await model.batcher.decide_all(images, options)
        for answered in found:
            if not isinstance(answered, Exception):
                _count(answered)
        return found

    async def compute(self, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises, from a thread; as many at once as there are cores."""
        return await self.decoder.in_thread(work)

    def in_memory(self, caller: Caller) -> dict[str, Loaded]:
        """The models that are loaded and exist for this caller, by the ids and aliases they were asked for by."""
        held = self._held()
        seen = {name: of for name, of in self._names.items() if of.id in held and all(map(caller.sees, of.owners))}
        return {name: self._loads[of.id].result() for name, of in seen.items()}

    def trouble_with(self, reference: str) -> str | None:
        """Why the model that this name has moved to cannot be loaded, while the one before it goes on serving."""
        return self._troubles.get(reference)

    async def keep_fresh(self) -> None:
        """Load the default model, then follow names and deletions until cancelled; loads that go on end then, too."""
        try:
            await self._follow()
        finally:
            for task in self._loads.values():
                task.cancel()
            await asyncio.gather(*self._loads.values(), return_exceptions=True)

    async def _follow(self) -> None:
        try:
            await self.find(DEFAULT_ALIAS)
        except (NotFound, ModelUnusable, SQLAlchemyError) as error:
            log.info("no_default_model_yet", reason=str(error))
        except Exception:  # whatever it was, names have to be followed until the process ends
            log.exception("default_model_not_loaded")
        while True:
            await asyncio.sleep(self._settings.alias_refresh_seconds)
            try:
                await self.refresh()
            except SQLAlchemyError as error:
                log.warning("names_not_refreshed", reason=type(error).__name__)
            except Exception:  # whatever it was, names have to be followed until the process ends
                log.exception("names_not_refreshed")

    async def refresh(self) -> None:
        """Look up all names again: load what has moved aside and swap, forget what is gone."""
        if not self._names:
            return
        # What comes while the database answers is newer than its answer.
        asked, loaded = dict(self._names), list(self._loads)
        found = await in_a_thread(self._look_up_all, asked)
        for reference, known in asked.items():
            # What is not in memory is looked up when it is asked for again: the list stays as short as that of the models.
            if reference not in found or known.id not in self._loads:
                self._names.pop(reference, None)
                self._troubles.pop(reference, None)
            elif found[reference] != known:
                await self._move(reference, found[reference])
        in_use = {name.id for name in (*found.values(), *self._names.values())}
        for id in loaded:
            if id not in in_use:
                self._give_up(id)

    async def _move(self, reference: str, target: Named) -> None:
        id = target.id
        failed = self._failed.get(id)
        if failed is not None and time.monotonic() < failed + self._settings.model_retry_seconds:
            return
        try:
            await self._load_once(id)
        except Exception as error:  # one name's trouble is not that of the names after it
            reason = error.detail if isinstance(error, NoisegateError) else type(error).__name__
            log.error("name_not_moved", name=reference, model=id, reason=reason)
            self._failed = {id: time.monotonic()}
            self._troubles[reference] = reason
        else:
            self._names[reference] = target
            self._troubles.pop(reference, None)

    def _look_up(self, reference: str) -> Named:
        found = self._look_up_all([reference])
        if reference not in found:
            raise models.not_found(reference)
        return found[reference]

    def _look_up_all(self, references: Iterable[str]) -> Mapping[str, Named]:
        with self._sessions.reading() as session:
            return models.named(session, references)

    async def _load_once(self, id: str) -> Loaded:
        if id not in self._loads:
            task = asyncio.create_task(self._load(id))
            task.add_done_callback(partial(self._settle, id))
            self._loads[id] = task
        self._loads.move_to_end(id)
        task = self._loads[id]
        if task.done():
            return task.result()
        # Others may wait for the same load: it goes on when this request is given up.
        return await asyncio.shield(task)

    async def _load(self, id: str) -> Loaded:
        async with self._one_load:
            loaded = await in_a_thread(self._loader.load, id, self._settings.model_cache_bytes)
            self._make_room(loaded)
        most = most_together(loaded.classifier.manifest.image_size, self._settings.max_batch)
        most_waiting = self._settings.max_waiting_images
        batcher = Batcher(loaded.classifier, self._threads, most=most, most_waiting=most_waiting)
        return Loaded(id, loaded.version, loaded.classifier, batcher)

    def _make_room(self, loaded: LoadedModel) -> None:
        most, needed = self._settings.model_cache_bytes, loaded.classifier.nbytes
        held = self._held()
        for old, size in list(held.items()):
            if sum(held.values()) + needed <= most and len(held) < self._settings.model_cache:
                break
            self._give_up(old)
            del held[old]
            log.info("model_given_up", model=old, bytes=size)

    def _held(self) -> dict[str, int]:
        """The models in memory and their bytes, the least used first."""
        done = ((id, task) for id, task in self._loads.items() if task.done() and not task.cancelled())
        return {id: task.result().classifier.nbytes for id, task in done if task.exception() is None}

    def _give_up(self, id: str) -> None:
        self._loads.pop(id, None)
        self._count()

    def _settle(self, id: str, task: asyncio.Task[Loaded]) -> None:
        if (task.cancelled() or task.exception() is not None) and self._loads.get(id) is task:
            del self._loads[id]
        self._count()

    def _count(self) -> None:
        held = self._held()
        MODELS_LOADED.set(len(held))
        MODELS_BYTES.set(sum(held.values()))


def _classified(answered: Answered | Exception, decode_seconds: float) -> Classified | Exception:
    return answered if isinstance(answered, Exception) else Classified(answered, decode_seconds)


def _count(answered: Answered) -> None:
    QUEUE_SECONDS.observe(answered.queue_seconds)
    OUTCOMES[answered.decision["reason"]].inc()
