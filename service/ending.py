"""Being told that the process is about to end, before it waits for open answers to end."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def told_of_the_end(tell: Callable[[], None]) -> Iterator[None]:
    """Inside the block, `tell` is called when a signal ends the process; then whoever was told before hears of it.

    A server tells an application of its end only when every answer has been sent, and one that streams never would be.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's: whoever runs a server in another one ends it in another way
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
