"""Signals as something to wait for.

A handler that raises could strike between starting a process and writing down its id. So handlers here only take note,
and waiting code is woken through a pipe that the interpreter writes to on every signal.
"""

import select
import signal
import socket
from types import FrameType
from typing import Self

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalWatch:
    """While entered, SIGINT, SIGTERM and SIGHUP are collected in `received`, and SIGCHLD ends a `wait`.

    Belongs to the main thread, as all signal handling in Python.
    """

    def __init__(self) -> None:
        self.received: list[int] = []

    def __enter__(self) -> Self:
        self._woken, self._waking = socket.socketpair()
        self._woken.setblocking(False)
        self._waking.setblocking(False)
        self._previous_fd = signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        # A signal that is ignored from the start stays so: that is how nohup keeps a process alive.
        heard = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._note) for number in heard}
        # The default ignores SIGCHLD without waking anyone.
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _ignore)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._woken.close()
        self._waking.close()

    def wait(self, timeout_seconds: float | None) -> None:
        """Return at the next signal, one that has come since the last call included, or after the timeout."""
        readable, _, _ = select.select([self._woken], [], [], timeout_seconds)
        if readable:
            self._woken.recv(4096)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
