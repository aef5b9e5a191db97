"""The processes of a worker that take care of data, so that an upload never waits for training (docs/decisions/0021).

They are no part of Celery's pool: which process of a pool gets a message cannot be said, so a pool that takes every kind of
message fills up with whatever takes longest. Each of these reads queues of its own.
"""

import subprocess
import sys

import structlog

from noisegate.store.wakeups import DERIVE, INGEST, QUEUES

log = structlog.get_logger(__name__)

# Longer than one step between two looks at whether to go on; afterwards their leases run out.
_GRACE_SECONDS = 20


class DataProcesses:
    """So many processes, from `start` to `close`.

    Of several the first takes uploads alone: features of thousands of photographs take minutes, and uploads do not wait for those.
    """

    def __init__(self, count: int) -> None:
        self._queues = [_queues(number, count) for number in range(count)]
        self._running: list[subprocess.Popen[bytes]] = []
        self._ended: dict[int, int] = {}

    def start(self) -> None:
        """Start them; they are ready a second or two later."""
        self._running = [_start(queues) for queues in self._queues]

    def revive(self) -> None:
        """Start those anew that have ended."""
        for number, process in enumerate(self._running):
            if (code := process.poll()) is not None:
                self._ended[process.pid] = code
                log.warning("data_process_ended", process=process.pid, exit_code=code)
                self._running[number] = _start(self._queues[number])

    def alive(self) -> set[int]:
        """Their ids."""
        return {process.pid for process in self._running if process.poll() is None}

    def exit_code(self, process_id: int) -> int | None:
        """Of one that has ended; negative: the signal that ended it."""
        codes = {process.pid: process.poll() for process in self._running}
        return codes.get(process_id, self._ended.get(process_id))

    def drain(self) -> None:
        """Have each give back what it holds, and end."""
        for process in self._running:
            assert process.stdin is not None
            process.stdin.close()

    def close(self) -> None:
        """Wait until they have ended; one that does not is killed, and what it held is found by its lease."""
        self.drain()
        for process in self._running:
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                log.warning("data_process_killed", process=process.pid)
                process.kill()
                process.wait()


def _queues(number: int, count: int) -> list[str]:
    uploads_alone = count > 1 and number == 0
    return [QUEUES[INGEST]] if uploads_alone else [QUEUES[INGEST], QUEUES[DERIVE]]


def _start(queues: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "worker.data_main", *queues], stdin=subprocess.PIPE)  # noqa: S603  # nosec B603
