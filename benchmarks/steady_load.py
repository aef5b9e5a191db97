"""One service under a steady load of 90 % of its capacity, for a minute: errors, p99, memory.

    python benchmarks/steady_load.py --url http://127.0.0.1:8000 --pid PID [--seconds 60] [--share 0.9]

The service runs already, in a container or not, and has a default model; NOISEGATE_API_KEY is shown if set. Capacity is what 16
connections get that ask again as soon as they are answered. Then requests are sent by the clock, whether or not earlier ones
have been answered, and times count from when a request was due: a service that falls behind cannot hide it. PID is the
service's process on this machine (of a container: `docker inspect --format '{{.State.Pid}}'`); what runs below it counts, too.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
from PIL import Image
from record import keep

CAPACITY_CONNECTIONS, CAPACITY_SECONDS, WARM_UP_SECONDS = 16, 10, 3
STEADY_CONNECTIONS = 64
MIB = 2**20


@dataclass
class Seen:
    """Answers by status (0: none came), and their times in milliseconds."""

    statuses: dict[int, int] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)

    def note(self, status: int, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.milliseconds.append(1e3 * seconds)


class Connection:
    """A kept-alive connection that sends one request at a time."""

    def __init__(self, host: str, port: int, request: bytes) -> None:
        self._address = (host, port)
        self._request = request
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> int:
        """The status of the answer; 0 if the connection broke."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            self._streams = None
            return 0
        return int(head[9:12])


async def capacity(connect: Callable[[], Connection], seconds: float) -> float:
    """Answers a second to connections that ask again at once."""
    answered = 0
    end = time.perf_counter() + seconds

    async def ask_again() -> None:
        nonlocal answered
        connection = connect()
        while time.perf_counter() < end:
            status = await connection.ask()
            answered += status == 200  # not in one statement with the await: what others count meanwhile would be lost

    await asyncio.gather(*(ask_again() for _ in range(CAPACITY_CONNECTIONS)))
    return answered / seconds


async def steady(connect: Callable[[], Connection], rate: float, seconds: float) -> Seen:
    """Requests by the clock; none is left out when the service is late."""
    seen = Seen()
    begin, numbers = time.perf_counter(), iter(range(int(rate * seconds)))

    async def ask_when_due() -> None:
        connection = connect()
        for number in numbers:
            due = begin + number / rate
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            status = await connection.ask()
            seen.note(status, time.perf_counter() - due)

    await asyncio.gather(*(ask_when_due() for _ in range(STEADY_CONNECTIONS)))
    return seen


async def beside(work: Awaitable[Seen], pid: int) -> tuple[Seen, list[float]]:
    """What came of `work`, and the service's resident memory in MiB, each second meanwhile."""
    samples: list[float] = []

    async def weigh() -> None:
        while True:
            samples.append(sum(process.memory_info().rss for process in _family(pid)) / MIB)
            await asyncio.sleep(1)

    weighing = asyncio.create_task(weigh())
    try:
        return await work, samples
    finally:
        weighing.cancel()


def main() -> int:
    asked = _options()
    url = urlsplit(asked.url)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    request = _request(f"{host}:{port}")

    def connect() -> Connection:
        return Connection(host, port, request)

    if (status := asyncio.run(connect().ask())) != 200:
        sys.exit(
            f"{asked.url} answers {status} to POST /classify; it needs a default model, and perhaps NOISEGATE_API_KEY."
        )
    asyncio.run(capacity(connect, WARM_UP_SECONDS))
    most = asyncio.run(capacity(connect, CAPACITY_SECONDS))
    rate = asked.share * most
    seen, memory = asyncio.run(beside(steady(connect, rate, asked.seconds), asked.pid))
    errors = sum(count for status, count in seen.statuses.items() if status != 200)
    p50, p99 = np.percentile(seen.milliseconds, [50, 99])
    figures = {
        "command": f"python benchmarks/steady_load.py --seconds {asked.seconds:g} --share {asked.share:g}",
        "where": asked.where,
        "n": 1,
        "capacity_per_second": round(most, 1),
        "asked_per_second": round(rate, 1),
        "requests": len(seen.milliseconds),
        "statuses": {str(status): count for status, count in sorted(seen.statuses.items())},
        "errors": errors,
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "longest_ms": round(max(seen.milliseconds), 1),
        "memory_mib": {
            "first_10_s": round(statistics.median(memory[:10]), 1),
            "last_10_s": round(statistics.median(memory[-10:]), 1),
            "largest": round(max(memory), 1),
        },
    }
    print(*(f"{name}: {value}" for name, value in figures.items()), sep="\n")
    keep("steady_load", figures, asked.json)
    return int(errors > 0)


def _family(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def _request(host: str) -> bytes:
    file = BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    body = file.getvalue()
    key = os.environ.get("NOISEGATE_API_KEY", "")
    shown = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST /classify HTTP/1.1\r\nHost: {host}\r\n{shown}Content-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--share", type=float, default=0.9, help="of the capacity")
    parser.add_argument("--where", default="", help="what the service runs in, for the record")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
