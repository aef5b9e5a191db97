"""Several processes run as one: started in order, ended together, in reverse order, and never left behind.

Three nets hold the promise that no process is orphaned:
1. `Supervisor.__exit__` ends every process group, whatever raised, with SIGTERM and after a grace period SIGKILL.
2. `watchdog.py`, a small process that notices when the supervisor is gone (kill -9) and does the same.
3. On Linux the kernel sends SIGTERM to each child when the supervisor dies, should the watchdog be dead too.
"""

import contextlib
import ctypes
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from noisegate.client.errors import CannotStart, ChildEnded, Interrupted
from noisegate.local import watchdog
from noisegate.local.signals import SignalWatch

READY_POLL_SECONDS = 0.05
SHOWN_LINES = 15
_SHOWN_BYTES = 8192

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Program:
    """A command to run, under a name for messages and its log file; `runs_once`: its end without an error is as it should be."""

    name: str
    command: Sequence[str]
    grace_seconds: float = 5.0
    runs_once: bool = False


@dataclass(frozen=True)
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def ended_well(self) -> bool:
        return self.program.runs_once and self.process.returncode == 0


class Supervisor:
    """While entered, signals end what waits here (`Interrupted`), and so does the end of a child (`ChildEnded`).

    Args:
        log_dir: where the output of each program goes, to NAME.log; that of the run before becomes NAME.log.1.
        working_dir: where programs run.
        environment: of every program, whole.
        held: file descriptors to stay open until the last process has ended, even if this one is killed.
    """

    def __init__(
        self, log_dir: Path, working_dir: Path, environment: Mapping[str, str], held: Sequence[int] = ()
    ) -> None:
        self._log_dir = log_dir
        self._working_dir = working_dir
        self._environment = dict(environment)
        self._held = held
        self._signals = SignalWatch()
        self._children: list[_Child] = []

    def __enter__(self) -> Self:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        self._signals.__enter__()
        try:
            self._watchdog = self._start_watchdog()
        except BaseException:
            self._signals.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._stop()
        finally:
            self._signals.__exit__()

    def start(self, program: Program) -> None:
        """Start a program beside those that run.

        Raises:
            CannotStart: there is no such program.
        """
        self.check()
        log = self._log_dir / f"{program.name}.log"
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        try:
            process = self._spawn(program, log)
        except OSError as error:
            raise CannotStart(f"{program.name} cannot be started: {error}") from error
        self._children.append(_Child(program, process, log))
        self._tell_watchdog(process.pid)

    def wait_until(self, ready: Callable[[], bool], *, what: str, limit_seconds: float) -> None:
        """Wait for a condition outside, such as a socket that answers.

        Raises:
            CannotStart: it did not come true in time; `what` says in words what did not.
        """
        deadline = time.monotonic() + limit_seconds
        while not ready():
            if time.monotonic() > deadline:
                raise CannotStart(f"{what} within {limit_seconds:g} seconds. The logs are in {self._log_dir}.")
            self.pause(READY_POLL_SECONDS)

    def pause(self, seconds: float) -> None:
        """Sleep, but not through a signal or the end of a child."""
        deadline = time.monotonic() + seconds
        self.check()
        while (left := deadline - time.monotonic()) > 0:
            self._signals.wait(None if math.isinf(left) else left)
            self.check()

    def run_until_interrupted(self) -> NoReturn:
        """Stay until a signal (`Interrupted`) or the end of a child (`ChildEnded`)."""
        self.pause(math.inf)
        raise AssertionError("an endless pause ends only by an exception")

    def check(self) -> None:
        """Raise if a signal has come or a child has ended.

        Raises:
            Interrupted: SIGINT, SIGTERM or SIGHUP.
            ChildEnded: with the last lines of its log.
        """
        if self._signals.received:
            raise Interrupted(self._signals.received[0])
        for child in [child for child in self._children if child.process.poll() is not None]:
            if not child.ended_well:
                raise ChildEnded(_obituary(child))
            self._end(child)  # its number may be another process's soon
        if self._watchdog.poll() is not None:
            raise ChildEnded(
                "The watchdog process ended unexpectedly; without it a crash could leave processes behind."
            )

    def _spawn(self, program: Program, log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            return subprocess.Popen(  # noqa: S603  # nosec B603
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._working_dir,
                env=self._environment,
                # A session of its own: Ctrl-C in the terminal reaches us alone, and we end the rest in order.
                start_new_session=True,
                preexec_fn=_tie_to(os.getpid()),
            )

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  # nosec B603
            [sys.executable, "-I", "-S", watchdog.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # a line it did not read must not be tried again at the end
            start_new_session=True,
            pass_fds=self._held,
        )

    def _tell_watchdog(self, group: int) -> None:
        assert self._watchdog.stdin
        # If it has died, `check` says so at the next wait; stopping goes on without it.
        with contextlib.suppress(BrokenPipeError):
            self._watchdog.stdin.write(b"%+d\n" % group)

    def _stop(self) -> None:
        # From here on any further signal means: faster.
        self._signals.received.clear()
        for child in reversed(self._children.copy()):
            self._end(child)
        assert self._watchdog.stdin
        self._watchdog.stdin.close()
        self._watchdog.wait()

    def _end(self, child: _Child) -> None:
        if child.process.poll() is None:
            child.process.terminate()
        deadline = time.monotonic() + child.program.grace_seconds
        while child.process.poll() is None and not self._signals.received:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._signals.wait(left)
        # The group may hold grandchildren that outlived their parent. It may also be empty, which macOS tells by
        # PermissionError while a zombie is left in it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self._children.remove(child)
        self._tell_watchdog(-child.process.pid)


def last_lines(log: Path) -> str:
    """The end of a log, indented."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _SHOWN_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-SHOWN_LINES:]) or "  (nothing)"


def _obituary(child: _Child) -> str:
    code = child.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended unexpectedly with exit code {code}"
    return f"{child.program.name} {how}. The end of {child.log}:\n{last_lines(child.log)}"


def _tie_to(supervisor: int) -> Callable[[], None] | None:
    if _LIBC is None:
        return None

    def die_with_it() -> None:
        assert _LIBC is not None
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:  # it died before the kernel was asked
            os._exit(1)

    return die_with_it
