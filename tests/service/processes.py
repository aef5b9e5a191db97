"""The service as processes of their own, on a port that is free."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from noisegate.store.settings import Settings
from tests.conftest import wait_until
from tests.faults.processes import Program
from tests.service.traffic import Peer, peer


class ServiceProcess(Program):
    """`python -m service.main`, with one process or several that share a port."""

    def __init__(self, settings: Settings, folder: Path, workers: int, environment: Mapping[str, str]) -> None:
        self.port = _free_port()
        named = {
            "NOISEGATE_DATA_DIR": str(settings.data_dir),
            "NOISEGATE_DATABASE_URL": settings.database_url,
            "NOISEGATE_BROKER_URL": settings.broker_url,
            "NOISEGATE_PORT": str(self.port),
            "NOISEGATE_SERVICE_PROCESSES": str(workers),
        }
        command = [sys.executable, "-m", "service.main"]
        super().__init__(command, folder / "service.log", {**os.environ, **named, **environment})

    def memory_bytes(self) -> int:
        """Resident memory of the process that was started."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def answers(self) -> bool:
        """Whether a new connection gets an answer."""
        assert self.running, self.log.read_text()[-3000:]
        try:
            with peer(self.port) as opened:
                return opened.send("GET", "/livez").status == 200
        except OSError:
            return False

    def pid_behind(self, opened: Peer) -> int:
        """Which of the processes has taken this connection."""
        (taken,) = [
            process.pid
            for process in (psutil.Process(self.pid), *self.children())
            for connection in process.net_connections("tcp4")
            if connection.raddr and connection.raddr.port == opened.local_port and connection.laddr.port == self.port
        ]
        return int(taken)


@contextmanager
def run_process(
    settings: Settings, folder: Path, *, workers: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[ServiceProcess]:
    """The service answering inside the block, with the settings' data, database and broker; `environment` says the rest."""
    service = ServiceProcess(settings, folder, workers, environment or {})
    service.start()
    try:
        wait_until(service.answers, seconds=60, what="the service answers")
        yield service
        service.terminate()
    finally:
        service.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
