"""What a worker process holds open: settings, database, files, wake-ups. Opened once, after the process was spawned."""

import os
import secrets
import socket
from dataclasses import dataclass
from functools import lru_cache

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings, load_settings
from noisegate.store.wakeups import Wakeups
from worker.app import app


@dataclass(frozen=True)
class Resources:
    """`owner` names this process in the rows it claims; no other process, past or future, has the same."""

    settings: Settings
    sessions: Sessions
    artefacts: Artefacts
    wakeups: Wakeups
    owner: str


@lru_cache(maxsize=1)
def open_resources() -> Resources:
    """This process's own."""
    settings = load_settings()
    return Resources(
        settings=settings,
        sessions=open_sessions(settings),
        artefacts=Artefacts(settings.artefact_root),
        wakeups=Wakeups(app),
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
    )
