"""What ends with the application: nothing goes on in a thread after it."""

import asyncio
import threading

import pytest

from service.ending import in_a_thread, in_background


def test_whoever_is_cancelled_ends_when_the_thread_has() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def look_up() -> None:
        begun.set()
        may_end.wait(20)
        ended.set()

    async def application() -> None:
        async with in_background(in_a_thread(look_up)):
            await asyncio.to_thread(begun.wait, 20)
            asyncio.get_running_loop().call_later(0.05, may_end.set)
        assert ended.is_set()

    asyncio.run(application())


def test_what_a_thread_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        asyncio.run(in_a_thread(fail))
