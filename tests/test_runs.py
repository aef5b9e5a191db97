"""What a run of tests leaves behind, and how it may be started: what tests rest on, which seldom changes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests import reaper
from tests.conftest import wait_until

pytestmark = pytest.mark.nightly

# A broker, a PostgreSQL server with a connection, and a daemon that ignores SIGTERM; each is started as tests do it.
LONG = """
import subprocess, sys, tempfile, time
import psycopg, sqlalchemy as sa
from pathlib import Path

DAEMON = '''
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(600)
'''

def test_that_never_ends(broker_url: str, postgres_server: str, tmp_path: Path) -> None:
    url = sa.make_url(postgres_server).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url):
        subprocess.run([sys.executable, "-c", DAEMON, str(tmp_path / "daemon")], check=True)
        while not (tmp_path / "daemon").exists() or not (tmp_path / "daemon").read_text():
            time.sleep(0.05)
        (Path(__file__).parent / "begun").write_text(f"{tmp_path}\\n{tempfile.gettempdir()}")
        time.sleep(600)
"""

INTERRUPTED = """
import os, signal, subprocess, sys, pytest

def test_interrupts_are_heard_here() -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()

def test_and_by_what_is_started() -> None:
    code = "import signal; print(*(int(signal.getsignal(one) is signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGHUP)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "0 0\\n"
"""


def _command(file: Path, *options: str) -> list[str]:
    # This folder's conftest, for a test that lies elsewhere.
    own = ["-p", "tests.conftest", "--rootdir", str(file.parent), "-c", os.devnull, "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", *own, *options, str(file)]


@contextmanager
def _run(folder: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A run of tests, once its test has started what it starts."""
    (folder / "test_long.py").write_text(LONG)
    with subprocess.Popen(_command(folder / "test_long.py", *options)) as process:
        try:
            wait_until((folder / "begun").exists, seconds=60, what="the test has begun")
            yield process
        finally:
            process.kill()


def _started(process: "subprocess.Popen[bytes]", folders: Sequence[Path], daemon: int) -> list[psutil.Process]:
    """Everything that the run has started, but for its reaper."""
    (mark,) = {
        one.environ()[reaper.MARK].split()[-1]
        for one in psutil.Process(process.pid).children()
        if reaper.__file__ in one.cmdline()
    }
    found = [one for one in reaper.started(mark, folders) if reaper.__file__ not in one.cmdline()]
    assert daemon in {one.pid for one in found}
    assert any("valkey" in one.name() for one in found)
    assert any("postgres" in one.name() for one in found)
    return found


@pytest.mark.parametrize(
    ("number", "options"), [(signal.SIGTERM, ()), (signal.SIGKILL, ("-n", "1"))], ids=["terminated", "killed"]
)
def test_a_run_that_is_killed_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, options: tuple[str, ...]
) -> None:
    with _run(tmp_path, *options) as process:
        folders = [Path(line) for line in (tmp_path / "begun").read_text().splitlines()]
        started = _started(process, folders, int((folders[0] / "daemon").read_text()))
        process.send_signal(number)
        process.wait()
        wait_until(lambda: not any(one.is_running() for one in started), seconds=20, what="every process ended")
        wait_until(lambda: not any(folder.exists() for folder in folders), seconds=10, what="its folders are removed")


def test_a_run_in_the_background_hears_signals(tmp_path: Path) -> None:
    file = tmp_path / "test_interrupted.py"
    file.write_text(INTERRUPTED)
    shell = ["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", *_command(file)]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
