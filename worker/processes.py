"""The processes of a worker, seen from the parent: which are alive, and how the others ended."""

import signal

from billiard.process import BaseProcess
from celery.concurrency.prefork import TaskPool

from worker.data_processes import DataProcesses


class Processes:
    """A process that ended is replaced; what it held is known to be lost then, before its lease runs out.

    Celery replaces those of its pool, which train, at once; `revive` the others.
    """

    def __init__(self, pool: TaskPool, data: DataProcesses) -> None:
        self._pool = pool
        self._data = data
        self._known: dict[int, BaseProcess] = {}

    def alive(self) -> set[int]:
        """The ids of all processes that run now."""
        return self.training() | self._data.alive()

    def revive(self) -> None:
        """Replace those for data that ended."""
        self._data.revive()

    def training(self) -> set[int]:
        """The ids of the processes in the pool now."""
        # The list changes under our hands: a process is in it before it has an id.
        present = {process.pid: process for process in list(self._pool._pool._pool) if process.pid}
        self._known |= present
        return set(present)

    def ending_of(self, process_id: int) -> str:
        """How a process that is no longer alive ended, in words."""
        process = self._known.get(process_id)
        code = process.exitcode if process else self._data.exit_code(process_id)
        if code is None:
            return "ended"
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"was ended by {name}" + (", as when memory runs out" if -code == signal.SIGKILL else "")
