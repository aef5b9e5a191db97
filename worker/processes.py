"""The processes of a worker's pool, seen from the parent: which are alive, and how the others ended."""

import signal

from billiard.process import BaseProcess
from celery.concurrency.prefork import TaskPool


class Processes:
    """Celery replaces a process that ended at once; what it held is known to be lost then, before its lease runs out."""

    def __init__(self, pool: TaskPool) -> None:
        self._pool = pool
        self._known: dict[int, BaseProcess] = {}

    def alive(self) -> set[int]:
        """The ids of the processes in the pool now."""
        # The list changes under our hands: a process is in it before it has an id.
        present = {process.pid: process for process in list(self._pool._pool._pool) if process.pid}
        self._known |= present
        return set(present)

    def ending_of(self, process_id: int) -> str:
        """How a process that is no longer alive ended, in words."""
        process = self._known.get(process_id)
        code = process.exitcode if process else None
        if code is None:
            return "ended"
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"was ended by {name}" + (", as when memory runs out" if -code == signal.SIGKILL else "")
