"""A server as a process pinned to a core, or to several: started, asked, weighed and ended."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

from classify_peers.bodies import Bodies

HOST = "127.0.0.1"
HERE = Path(__file__).parent
START_LIMIT_SECONDS = 90
GRACE_SECONDS = 8
# Until it takes less than this share of a core; some poll all the time.
SETTLE_SECONDS, SETTLE_STEP, SETTLED_SHARE = 6, 0.3, 0.05
MIB = 2**20


@dataclass(frozen=True)
class Server:
    """How to start one, and what to ask it: `{port}` in the command and in the environment is filled in.

    `field` is the form field that takes the image; without one it is the raw body. `settings` says in words what is special.
    """

    name: str
    command: Sequence[str]
    path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    field: str | None = None
    settings: str = ""


@dataclass(frozen=True)
class Started:
    """A server that answers."""

    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Processor time that the process and all below it have taken so far."""
        return sum(sum(process.cpu_times()[:2]) for process in _family(self.process))

    def settle(self) -> None:
        """Wait until it has done with requests whose askers are gone: their work is no part of what is measured next."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(SETTLE_STEP)
            if self.cpu_seconds() - before < SETTLED_SHARE * SETTLE_STEP:
                return

    def memory(self) -> dict[str, float]:
        """MiB of the process and all below it: resident, the most that was, and with what they share counted once."""
        family = _family(self.process)
        found = [process.memory_full_info() for process in family]
        return {
            "processes": len(family),
            "rss_mib": round(sum(each.rss for each in found) / MIB, 1),
            "peak_rss_mib": round(sum(_peak_bytes(process) for process in family) / MIB, 1),
            "pss_mib": round(sum(each.pss for each in found) / MIB, 1),
        }


def import_path() -> str:
    """PYTHONPATH for what imports `classify_peers`, before what is on it already."""
    return os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])


def import_path_of(checkout: Path) -> str:
    """PYTHONPATH for what imports the service of another checkout."""
    return os.pathsep.join([str(checkout.absolute()), import_path()])


def pinned_to(*cores: int) -> Callable[[], None]:
    """What a child calls before it becomes its program; its own children inherit the cores."""
    return lambda: os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def started(server: Server, bodies: Bodies, cores: Sequence[int], folder: Path) -> Iterator[Started]:
    """The server, once it gives every body its right label; ended after the block with all that it started."""
    port = free_port()
    log = folder / f"{server.name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [part.format(port=port) for part in server.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={
                **_clean_environment(),
                **{variable: value.replace("{port}", str(port)) for variable, value in server.environment.items()},
            },
            start_new_session=True,
            preexec_fn=pinned_to(*cores),
        )
    up = Started(f"http://{HOST}:{port}{server.path}", psutil.Process(child.pid))
    try:
        _wait(server, up, child, bodies, log)
        check_answers(server, up, bodies)
        yield up
    finally:
        _end(child, up.process)


def check_answers(server: Server, up: Started, bodies: Bodies) -> None:
    """Send every body once.

    Raises:
        SystemExit: an answer is an error, or names another label than the model gives.
    """
    with _client() as client:
        for number, expected in enumerate(bodies.labels):
            answer = _ask(client, server, up, bodies, number)
            if answer.status_code != 200:
                sys.exit(f"{server.name} answers {answer.status_code}: {answer.text[:500]}")
            document = answer.json()
            # A server that batches takes a list of images and answers with one.
            label = (document[0] if isinstance(document, list) else document)["label"]
            if label != expected:
                sys.exit(f"{server.name} calls image {number} {label!r}; the model says {expected!r}")


def _client() -> httpx2.Client:
    # A proxy from the environment cannot reach this machine's own loopback address.
    return httpx2.Client(timeout=10, trust_env=False)


def _ask(client: httpx2.Client, server: Server, up: Started, bodies: Bodies, number: int) -> httpx2.Response:
    folder, content_type = bodies.kind(server.field)
    body = (folder / f"{number:02}").read_bytes()
    return client.post(up.url, content=body, headers={"Content-Type": content_type})


def _wait(server: Server, up: Started, child: "subprocess.Popen[bytes]", bodies: Bodies, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    with _client() as client:
        while time.monotonic() < deadline and child.poll() is None:
            with contextlib.suppress(httpx2.TransportError):
                if _ask(client, server, up, bodies, 0).status_code == 200:
                    return
            time.sleep(0.2)
    end = log.read_text(errors="replace")[-3000:]
    sys.exit(f"{server.name} did not answer well within {START_LIMIT_SECONDS} s. The end of its log:\n{end}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _clean_environment() -> dict[str, str]:
    """Ours, without settings of Noisegate, and with this folder's parent to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NOISEGATE_")}
    return kept | {"PYTHONPATH": import_path(), "PYTHONUNBUFFERED": "1"}


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _peak_bytes(process: psutil.Process) -> int:
    """The most that was resident at any time; psutil does not tell it."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _end(child: "subprocess.Popen[bytes]", process: psutil.Process) -> None:
    # Listed before: children of a process that has ended can no longer be told from others.
    family = _family(process) if child.poll() is None else []
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=GRACE_SECONDS)
    for left in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    child.wait()
