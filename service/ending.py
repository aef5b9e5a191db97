"""What lives as long as the application, and being told that the process is about to end, before open answers have ended."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

Result = TypeVar("Result")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs `work` beside the block and cancels it at the end. What it failed with is raised there."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def in_a_thread(work: Callable[..., Result], *arguments: Any) -> Result:
    """What `work` gives, from a thread. A caller that is cancelled meanwhile ends only when the thread has.

    A look into the database that outlived the application would leave its connection open behind it.
    """
    task = asyncio.ensure_future(run_in_threadpool(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


@contextlib.contextmanager
def told_of_the_end(tell: Callable[[], None]) -> Iterator[None]:
    """Inside the block, `tell` is called when a signal ends the process; then the handler that was there before.

    A server tells an application of its end only when every answer has been sent, and one that streams never would be.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals belong to the main thread: a server in another thread is ended in another way
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def told(number: int, frame: FrameType | None) -> None:
        tell()
        handler = before[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)

    handled = [number for number in _SIGNALS if callable(before[number])]
    for number in handled:
        signal.signal(number, told)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
