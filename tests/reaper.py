"""Ends what a run of tests started when that run is over, however it ended, SIGKILL included.

`watch()` puts a mark into this process's environment, which everything started from here on inherits, daemons and
grandchildren included, and starts this file as a process of its own. Once the process that called is gone, that one ends
every process with the mark, and every one that works in the run's folders: Valkey and PostgreSQL write over their
environment when they give themselves a title. Then it removes the folders.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

MARK = "TESTS_OF_RUN"
# Where the run notes a folder that is only to be removed if the run does not end in order.
UNFINISHED = "unfinished"
_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.1
_LIMIT_SECONDS = 60.0


def watch() -> Path:
    """Have everything that this process starts end after it; returns the folder for its temporary files."""
    mark = secrets.token_hex(4)
    # Short, as sockets lie below it; open to others, as PostgreSQL is another user where this one is root.
    folder = Path(tempfile.gettempdir()) / f"ng-{mark}"
    folder.mkdir(mode=0o755)
    # A run may be started by a test of another run: both are to find what is theirs.
    os.environ[MARK] = f"{os.environ.get(MARK, '')} {mark}".strip()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    subprocess.Popen(
        [sys.executable, __file__, str(os.getpid()), mark, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ).returncode = 0  # nobody waits for it: it outlives this process
    return folder


def main(parent: int, mark: str, folder: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    unfinished = folder / UNFINISHED
    folders = [folder, *([Path(unfinished.read_text())] if unfinished.exists() else [])]
    _end(mark, folders)
    for one in folders:
        _remove(one)


def _end(mark: str, folders: Sequence[Path]) -> None:
    """SIGTERM, and after a moment SIGKILL, until no process is left."""
    began = time.monotonic()
    asked: set[psutil.Process] = set()
    while (left := set(started(mark, folders))) and time.monotonic() < began + _LIMIT_SECONDS:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                if time.monotonic() > began + _GRACE_SECONDS:
                    process.kill()
                elif process not in asked:
                    process.terminate()
        asked |= left
        time.sleep(_POLL_SECONDS)


def started(mark: str, folders: Sequence[Path]) -> Iterator[psutil.Process]:
    """The processes of the run, but for this one."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if mark in process.environ().get(MARK, "").split() or _works_in(process, folders):
                yield process


def _works_in(process: psutil.Process, folders: Sequence[Path]) -> bool:
    return any(Path(process.cwd()).is_relative_to(folder) for folder in folders)


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it, and whatever a test mounted there."""
    mounts = Path("/proc/mounts")
    for line in reversed(mounts.read_text().splitlines() if mounts.exists() else []):
        if Path(line.split()[1]).is_relative_to(folder):
            subprocess.run(["umount", "--lazy", line.split()[1]], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
