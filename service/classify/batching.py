"""Opportunistic batching: an image that finds its model idle is run at once; those that come meanwhile make the next batch.

No timer and no polling: a batch ends, the next begins with whatever is there. What takes long runs in threads, as ONNX Runtime
lets go of the interpreter, so the event loop goes on reading and decoding. What takes no longer than handing it over and back
runs in the event loop itself: all that has come in one of its turns.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from noisegate.api.found import BriefFound, Found
from noisegate.errors import QuotaExceeded
from noisegate.inference.classifier import Classifier
from noisegate.inference.runtimes import Answers, UnusableModel
from noisegate.rejection.decision import DecisionOptions, NotFinite
from service.classify.statistics import Statistics
from service.errors import ModelUnusable
from service.metrics import BATCH_SIZE, PREDICT_SECONDS, QUEUE_DEPTH

Pixels = npt.NDArray[np.uint8]

# The event loop computes for so long at a time, then others have their turn. A thread in its place would keep the interpreter from
# it for up to 5 ms (sys.getswitchinterval).
_AT_ONCE_SECONDS = 0.002
# Where not even so many images fit into that, a thread is little beside them.
_LEAST_AT_ONCE = 4
# Images of one caller that wait as one. Where so many wait, full batches in a thread are worth it, too.
_TOGETHER = 64
# In one batch: four images of 224 pixels a side. More at once are no quicker from there on, and what a network holds of them
# meanwhile is memory: EfficientNet-Lite0 takes 180 MiB more for 32 than for four.
_TOGETHER_PIXELS = 4 * 224**2


class Busy(QuotaExceeded):
    """More images wait for a model than it may have waiting."""

    code = "busy"
    title = "Too many images are waiting"


class ConcurrencyLimit:
    """Limits how many batches are under way at once. Used from one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    def enter(self) -> None:
        """Take a place; raises Busy if there is none. A place that was taken must be given back."""
        if self._inside >= self._most:
            remedy = "Ask again in a second, or send images one by one."
            raise Busy(f"{self._inside} batches are being answered", retry_after_seconds=1, remedy=remedy)
        self._inside += 1

    def leave(self) -> None:
        self._inside -= 1


def most_together(image_size: int, most: int) -> int:
    """How many images of this size make a batch, at most `most`: as many small ones, one or a few large ones."""
    return min(most, max(1, _TOGETHER_PIXELS // image_size**2))


class Answered(NamedTuple):
    """What came of one image: the network's answer, the decision, and when what happened (seconds, monotonic)."""

    logits: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    decision: Found
    batch_size: int
    queue_seconds: float
    predict_seconds: float

    @property
    def brief(self) -> BriefFound:
        """The decision, which was asked to be brief."""
        return cast(BriefFound, self.decision)


class _Group:
    """Images that one caller waits for, and what has come of them."""

    def __init__(self, images: int) -> None:
        self.answered: asyncio.Future[list[Answered | Exception]] = asyncio.get_running_loop().create_future()
        self._results: list[Answered | Exception | None] = [None] * images
        self._left = images

    def note(self, place: int, result: Answered | Exception) -> None:
        """What came of one image; of the last one it wakes the caller."""
        self._results[place] = result
        self._left -= 1
        # A caller that has gone away meanwhile has cancelled its future.
        if self._left == 0 and not self.answered.done():
            self.answered.set_result([one for one in self._results if one is not None])


class _Waiting(NamedTuple):
    pixels: Pixels
    options: DecisionOptions
    since: float
    group: _Group
    place: int


class Batcher:
    """The queue of one model. Used from one event loop."""

    def __init__(self, classifier: Classifier, threads: ThreadPoolExecutor, *, most: int, most_waiting: int) -> None:
        """
        Args:
            most: images in one batch.
            most_waiting: images that may wait while a batch runs.
        """
        self._classifier = classifier
        self._threads = threads
        self._most = most
        self._most_waiting = most_waiting
        self._waiting: deque[_Waiting] = deque()
        # Half of the queue, so that single images find room beside whole batches.
        self._room = max(1, most_waiting // 2)
        self._together = min(_TOGETHER, self._room)
        self._patient = asyncio.Semaphore(self._room // self._together)
        self._running: asyncio.Task[None] | None = None
        self._seconds_per_image = classifier.seconds_per_image
        # In one turn of the event loop. By what the network takes of a core: what holds it up says nothing of the network.
        self._at_once = int(_AT_ONCE_SECONDS / classifier.seconds_per_image)
        self.statistics = Statistics()

    async def decide(self, pixels: Pixels, options: DecisionOptions) -> Answered:
        """The decision on one image, uint8 [size, size, 3].

        Raises:
            Busy: too many wait already.
            ModelUnusable: the model fails on this image, or gives numbers that are not finite.
        """
        if len(self._waiting) >= self._most_waiting:
            seconds = max(1, math.ceil(len(self._waiting) * self._seconds_per_image))
            remedy = f"Ask again in {seconds} s; many images are best sent together to /classify/batch."
            raise Busy(f"{len(self._waiting):,} images wait for this model", retry_after_seconds=seconds, remedy=remedy)
        (result,) = await self._queued([pixels], options)
        if isinstance(result, Exception):
            raise result
        return result

    async def decide_all(self, images: Sequence[Pixels], options: DecisionOptions) -> list[Answered | Exception]:
        """The decision on each of `images`, or the error that `decide` would raise for it.

        They wait for room instead of being refused; all who wait so share half of the queue.
        """
        found: list[Answered | Exception] = []
        for start in range(0, len(images), self._together):
            async with self._patient:
                found += await self._queued(images[start : start + self._together], options)
        return found

    async def _queued(self, images: Sequence[Pixels], options: DecisionOptions) -> list[Answered | Exception]:
        group, now = _Group(len(images)), time.perf_counter()
        self._waiting.extend(_Waiting(pixels, options, now, group, place) for place, pixels in enumerate(images))
        QUEUE_DEPTH.inc(len(images))
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())
        return await group.answered

    async def _run(self) -> None:
        """Batch after batch, until none waits."""
        try:
            while self._waiting:
                in_thread = self._at_once < _LEAST_AT_ONCE or len(self._waiting) >= _TOGETHER
                if batch := self._next(self._most if in_thread else min(self._most, self._at_once)):
                    await self._run_one(batch, in_thread=in_thread)
                if self._waiting and not in_thread:
                    await asyncio.sleep(0)
        finally:
            self._running = None

    async def _run_one(self, batch: Sequence[_Waiting], *, in_thread: bool) -> None:
        loop = asyncio.get_running_loop()
        results: Sequence[Answered | Exception]
        started = time.perf_counter()
        try:
            if in_thread:
                results = await loop.run_in_executor(self._threads, _decide, self._classifier, batch)
            else:
                results = _decide(self._classifier, batch)
        except asyncio.CancelledError:
            # The process ends: waiting callers get an error instead of nothing.
            for waiting in batch:
                waiting.group.answered.cancel()
            raise
        except Exception as error:  # told to every caller of the batch, who would otherwise wait for ever
            results = [error] * len(batch)
        waited = [result.queue_seconds for result in results if isinstance(result, Answered)]
        self.statistics.add(waited, time.perf_counter() - started, len(results) - len(waited))
        for waiting, result in zip(batch, results, strict=True):
            waiting.group.note(waiting.place, result)
            if not isinstance(result, Exception):
                self._seconds_per_image = result.predict_seconds / result.batch_size

    def _next(self, most: int) -> list[_Waiting]:
        batch: list[_Waiting] = []
        taken = 0
        while self._waiting and len(batch) < most:
            waiting = self._waiting.popleft()
            taken += 1
            if not waiting.group.answered.done():
                batch.append(waiting)
        QUEUE_DEPTH.dec(taken)
        return batch


def _decide(classifier: Classifier, batch: Sequence[_Waiting]) -> list[Answered | Exception]:
    """What came of each image of a batch; trouble with one is that one's alone."""
    started = time.perf_counter()
    BATCH_SIZE.observe(len(batch))
    try:
        answers = classifier.logits(np.stack([waiting.pixels for waiting in batch]))
    except UnusableModel as error:
        return [ModelUnusable(str(error), field="model")] * len(batch)
    decisions = _decisions(classifier, answers, [waiting.options for waiting in batch])
    seconds = time.perf_counter() - started
    PREDICT_SECONDS.observe(seconds)
    return [
        decision
        if isinstance(decision, Exception)
        else Answered(logits, features, decision, len(batch), started - waiting.since, seconds)
        for waiting, decision, logits, features in zip(batch, decisions, *answers, strict=True)
    ]


def _decisions(
    classifier: Classifier, answers: Answers, options: Sequence[DecisionOptions]
) -> list[Found | ModelUnusable]:
    try:
        return [*classifier.find(answers, options)]
    except NotFinite:
        if len(options) == 1:
            return [ModelUnusable("the model gives numbers that are not finite", field="model")]
    # Of several images one may be to blame: each by itself.
    logits, features = answers
    rows = (slice(place, place + 1) for place in range(len(options)))
    return [one for row in rows for one in _decisions(classifier, (logits[row], features[row]), options[row])]
