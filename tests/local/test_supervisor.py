"""Real processes, real signals: whatever happens to the supervisor, nothing it started stays behind."""

import contextlib
import dataclasses
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from noisegate.client.errors import CannotStart, ChildEnded, Interrupted
from noisegate.local.supervisor import Program, Supervisor
from tests.conftest import PATIENCE, wait_until
from tests.local import supervised

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of the promise")


class Supervised:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, manner: str, *names: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.local.supervised", str(folder), manner, *names],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.watchdog = int(self.process.stdout.readline())
        self._names = [name.split(":")[0] for name in names]

    def diary(self) -> list[list[str]]:
        path = self.folder / "diary"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def started(self) -> dict[str, list[int]]:
        """The ids of each child and its grandchild."""
        return {line[0]: [int(pid) for pid in line[2:]] for line in self.diary() if line[1] == "started"}

    def all_ids(self) -> list[int]:
        return [self.watchdog, *(pid for pids in self.started().values() for pid in pids)]

    def wait_for_children(self) -> None:
        wait_until(lambda: set(self.started()) == set(self._names), seconds=20, what="children started")

    def wait_for_silence(self, seconds: float = 20) -> None:
        ids = self.all_ids()
        wait_until(lambda: not any(map(is_alive, ids)), seconds=seconds, what="every process ended")

    def close(self) -> None:
        for pid in [self.process.pid, *self.all_ids()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


Start = Callable[..., Supervised]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Supervised] = []

    def begin(manner: str, *names: str) -> Supervised:
        running.append(Supervised(tmp_path, manner, *names))
        return running[-1]

    yield begin
    for one in running:
        one.close()


def is_alive(pid: int) -> bool:
    # An orphan that nobody reaps is a zombie: ended all the same.
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def supervisor_in(folder: Path) -> Supervisor:
    return Supervisor(folder / "logs", folder, dict(os.environ))


def python(name: str, source: str, grace_seconds: float = 10) -> Program:
    return Program(name, [sys.executable, "-I", "-S", "-c", source], grace_seconds)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_in_reverse_order(start: Start, number: signal.Signals) -> None:
    supervisor = start("forever", "broker", "service", "worker")
    supervisor.wait_for_children()
    supervisor.process.send_signal(number)
    assert supervisor.process.wait(20) == 128 + number
    supervisor.wait_for_silence()
    assert [line[0] for line in supervisor.diary() if line[1] == "ended"] == ["worker", "service", "broker"]


def test_a_signal_half_way_through_the_start_ends_all(start: Start) -> None:
    supervisor = start("never-ready", "broker", "service")
    supervisor.wait_for_children()
    supervisor.process.send_signal(signal.SIGINT)
    assert supervisor.process.wait(20) == 130
    supervisor.wait_for_silence()


@pytest.mark.parametrize("delay_seconds", [0.0, 0.01, 0.03, 0.1])
def test_a_signal_at_any_moment_of_the_start_ends_all(start: Start, delay_seconds: float) -> None:
    supervisor = start("forever", "broker", "service")
    time.sleep(delay_seconds)  # no condition: any moment will do
    children = psutil.Process(supervisor.process.pid).children(recursive=True)
    supervisor.process.send_signal(signal.SIGINT)
    assert supervisor.process.wait(20) == 130
    supervisor.wait_for_silence()
    assert not any(is_alive(child.pid) for child in children)


def test_a_second_signal_hurries(start: Start) -> None:
    supervisor = start("forever", "broker", "worker:stubborn")
    supervisor.wait_for_children()
    supervisor.process.send_signal(signal.SIGINT)
    wait_until(lambda: ["worker", "asked"] in supervisor.diary(), seconds=10, what="the worker was asked to end")
    supervisor.process.send_signal(signal.SIGINT)
    assert supervisor.process.wait(20) == 130
    supervisor.wait_for_silence()


def test_kill_9_leaves_nothing_and_the_lock_is_kept_until_then(start: Start, tmp_path: Path) -> None:
    supervisor = start("forever", "broker", "worker:stubborn")
    supervisor.wait_for_children()
    supervisor.process.kill()
    supervisor.process.wait()
    with (tmp_path / "lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert any(map(is_alive, supervisor.started()["worker"]))
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the watchdog's end
        assert not any(is_alive(pid) for pids in supervisor.started().values() for pid in pids)
    supervisor.wait_for_silence()


@LINUX
def test_kill_9_of_the_watchdog_too_still_ends_the_children(start: Start) -> None:
    supervisor = start("forever", "broker", "worker")
    supervisor.wait_for_children()
    os.kill(supervisor.process.pid, signal.SIGSTOP)  # it must not notice the watchdog's end first
    os.kill(supervisor.watchdog, signal.SIGKILL)
    supervisor.process.kill()
    children = [pids[0] for pids in supervisor.started().values()]
    wait_until(lambda: not any(map(is_alive, children)), seconds=10, what="the kernel ended the children")


def test_the_end_of_the_watchdog_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ChildEnded, match="watchdog process ended unexpectedly"), supervisor_in(tmp_path) as supervisor:
        supervisor.start(supervised.program(tmp_path, "broker"))
        supervisor.wait_until((tmp_path / "diary").exists, what="The broker was not up", limit_seconds=20)
        supervisor._watchdog.kill()
        supervisor.run_until_interrupted()
    assert "broker ended" in (tmp_path / "diary").read_text()


def test_the_end_of_a_child_ends_the_others_and_is_told(tmp_path: Path) -> None:
    with pytest.raises(ChildEnded) as caught, supervisor_in(tmp_path) as supervisor:
        supervisor.start(supervised.program(tmp_path, "broker"))
        supervisor.wait_until((tmp_path / "diary").exists, what="The broker was not up", limit_seconds=20)
        supervisor.start(python("service", "print('port taken'); raise SystemExit(3)"))
        supervisor.run_until_interrupted()
    log = tmp_path / "logs" / "service.log"
    assert str(caught.value) == f"service ended unexpectedly with exit code 3. The end of {log}:\n  port taken"
    assert "broker ended" in (tmp_path / "diary").read_text()


def test_a_child_that_ends_well_ends_all_the_same(tmp_path: Path) -> None:
    with pytest.raises(ChildEnded, match="exit code 0"), supervisor_in(tmp_path) as supervisor:
        supervisor.start(python("worker", "pass"))
        supervisor.run_until_interrupted()


def test_a_killed_child_is_told_by_its_signal(tmp_path: Path) -> None:
    with pytest.raises(ChildEnded, match="worker was killed by SIGKILL"), supervisor_in(tmp_path) as supervisor:
        supervisor.start(python("worker", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
        supervisor.run_until_interrupted()


def test_a_child_that_dies_while_another_is_awaited_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ChildEnded, match="no such option"), supervisor_in(tmp_path) as supervisor:
        supervisor.start(python("broker", "raise SystemExit('no such option')"))
        supervisor.wait_until(lambda: False, what="The broker did not answer", limit_seconds=60)


def test_what_is_not_ready_in_time_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(CannotStart, match=r"It did not answer within 0.1 seconds"),
        supervisor_in(tmp_path) as supervisor,
    ):
        supervisor.wait_until(lambda: False, what="It did not answer", limit_seconds=0.1)


def test_a_stubborn_child_is_killed_after_its_grace(tmp_path: Path) -> None:
    source = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('up', 'w'); signal.pause()"
    with supervisor_in(tmp_path) as supervisor:
        supervisor.start(python("worker", source, grace_seconds=0.2))
        supervisor.wait_until((tmp_path / "up").exists, what="It was not up", limit_seconds=20)
        (pid,) = [child.pid for child in psutil.Process().children() if source in child.cmdline()]
        began = time.monotonic()
    assert 0.2 <= time.monotonic() - began < 5
    assert not is_alive(pid)


def run_once(supervisor: Supervisor, source: str) -> None:
    """A program that runs beside the others, until it has ended."""
    before = set(psutil.Process().children())
    supervisor.start(dataclasses.replace(python("migrations", source), runs_once=True))
    (started,) = set(psutil.Process().children()) - before
    # Until it is reaped, which takes a look at the children.
    supervisor.wait_until(lambda: not started.is_running(), what="It had not ended", limit_seconds=20 * PATIENCE)


def test_a_program_that_runs_once_ends_beside_the_others(tmp_path: Path) -> None:
    with supervisor_in(tmp_path) as supervisor:
        supervisor.start(python("service", "import signal; signal.pause()"))
        run_once(supervisor, "open('done', 'w').close(); print('migrated')")
        assert (tmp_path / "done").exists()
        supervisor.pause(0)  # its end is no surprise later
    assert (tmp_path / "logs" / "migrations.log").read_text() == "migrated\n"


def test_a_program_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(ChildEnded, match="disk full"), supervisor_in(tmp_path) as supervisor:
        run_once(supervisor, "raise SystemExit('disk full')")


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="broker cannot be started"), supervisor_in(tmp_path) as supervisor:
        supervisor.start(Program("broker", [str(tmp_path / "missing")]))


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second"):
        with supervisor_in(tmp_path) as supervisor:
            run_once(supervisor, f"print({word!r})")
    assert (tmp_path / "logs" / "migrations.log").read_text() == "second\n"
    assert (tmp_path / "logs" / "migrations.log.1").read_text() == "first\n"


def test_a_signal_ends_a_pause_and_old_handlers_come_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    began = time.monotonic()
    with pytest.raises(Interrupted, match="SIGTERM") as caught, supervisor_in(tmp_path) as supervisor:
        os.kill(os.getpid(), signal.SIGTERM)
        supervisor.pause(60)
    assert caught.value.exit_code == 143
    assert time.monotonic() - began < 20
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == before
