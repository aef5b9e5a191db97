"""How processes of a worker ended: their parent notes it, and tells the one that reaps, which knows what they held."""

import contextlib
import json
import signal
from collections.abc import Mapping
from multiprocessing.connection import Connection


class Endings:
    """What the parent knows. A reaper that is started anew is told all of it."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._teller: Connection | None = None

    def told_through(self, reader: Connection, writer: Connection) -> "Ended":
        """For a reaper that starts now."""
        if self._teller is not None:
            self._teller.close()
        self._teller = writer
        return Ended(reader, self._known)

    def note_end(self, process: int, code: int) -> None:
        """A process has ended; a negative code is the signal that ended it."""
        self._known[process] = _in_words(code)
        self._tell(process, self._known[process])

    def note_start(self, process: int) -> None:
        """The system gives numbers again: this one is alive."""
        if self._known.pop(process, None) is not None:
            self._tell(process, None)

    def _tell(self, process: int, how: str | None) -> None:
        assert self._teller is not None, "the reaper is started first"
        # One that has ended is started anew, and knows then.
        with contextlib.suppress(BrokenPipeError):
            self._teller.send_bytes(json.dumps([process, how]).encode())


class Ended:
    """What the reaper is told."""

    def __init__(self, reader: Connection, known: Mapping[int, str]) -> None:
        self._reader = reader
        self._known = dict(known)

    def known(self) -> Mapping[int, str]:
        """How each process ended that has ended, in words, by its number."""
        # Without a parent nothing more is told, and this process ends, too.
        with contextlib.suppress(EOFError):
            while self._reader.poll():
                process, how = json.loads(self._reader.recv_bytes())
                self._known.pop(process, None)
                if how is not None:
                    self._known[process] = how
        return self._known


def _in_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (", as when memory runs out" if -code == signal.SIGKILL else "")
