"""A process that has worked keeps what it loaded, PyTorch above all; one that then waits for long gives it back by ending.

Its parent starts a fresh one at once. A message that comes in that moment is not lost: work that has begun is given back like at
any end, and a message that was not taken the reaper sends again.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Idling:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.timer: threading.Timer | None = None


_idling = _Idling()


def end_after(seconds: float) -> None:
    """From now on this process ends when it has waited for so long after work; 0: never."""
    _idling.seconds = seconds


@contextmanager
def at_work() -> Iterator[None]:
    """Inside the block the process works; afterwards it waits."""
    if _idling.timer is not None:
        _idling.timer.cancel()
    try:
        yield
    finally:
        if _idling.seconds:
            _idling.timer = threading.Timer(_idling.seconds, os.kill, (os.getpid(), signal.SIGTERM))
            _idling.timer.daemon = True
            _idling.timer.start()
