"""What a worker process holds open: settings, database, files, wake-ups. Opened once, after the process was started."""

import os
import secrets
import socket
from dataclasses import dataclass
from functools import lru_cache

from noisegate.store.artefacts import Artefacts
from noisegate.store.remote import open_artefacts
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings, load_settings
from noisegate.store.wakeups import Wakeups
from worker.app import app

# Set by the parent alone, whatever stood there before: it is no setting.
_NAME = "NOISEGATE_WORKER_NAME"
_NUMBER = "NOISEGATE_PROCESS_NUMBER"


@dataclass(frozen=True)
class Resources:
    """`worker` names the worker that this process belongs to; no other, past or future, has the same name."""

    settings: Settings
    sessions: Sessions
    artefacts: Artefacts
    wakeups: Wakeups
    worker: str

    @property
    def owner(self) -> str:
        """This process, in the rows that it claims."""
        return f"{self.worker}/{os.getpid()}"


def name_worker() -> str:
    """Name the worker whose parent this process is; the processes that it starts inherit the name."""
    os.environ[_NAME] = f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"
    return os.environ[_NAME]


def number_process(number: int) -> None:
    """Say which of the worker's training processes this one is, which is also that of its GPU."""
    os.environ[_NUMBER] = str(number)


def process_number() -> int:
    """Which of the worker's training processes this one is, from 0."""
    return int(os.environ.get(_NUMBER, "0"))


@lru_cache(maxsize=1)
def open_resources() -> Resources:
    """This process's own."""
    settings = load_settings()
    return Resources(
        settings=settings,
        sessions=open_sessions(settings),
        artefacts=open_artefacts(settings),
        wakeups=Wakeups(app),
        worker=os.environ[_NAME],
    )
