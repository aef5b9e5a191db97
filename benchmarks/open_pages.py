"""What a hundred open pages cost the service while an experiment trains: share of a core, with and without them.

    python benchmarks/open_pages.py [--pages 100] [--seconds 30]

A worker trains the digits; the service is a process of its own. Its processor time is read from the kernel, once with no page and
once with `--pages` streams of events open, as pages hold them. `ends` counts the executions that ended meanwhile: a page that is
looked at asks for two parts of itself then, which is not among this. Exits with 1 at 5 % of a core or more.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from record import keep

from noisegate.local import running as local

TARGET = 0.05
SPEC: dict[str, Any] = {
    "dataset": "digits",
    "executions": 50,
    "keep_models": "none",
    "training": {"epochs": 300, "batch_size": 128, "first_layer_std": 0.1},
    "noise": {"family": "uniform"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--busy", action="store_true", help="note that others shared the cores")
    asked = parser.parse_args()
    os.environ["NOISEGATE_MAX_EVENT_STREAMS"] = str(asked.pages + 10)
    with (
        tempfile.TemporaryDirectory(prefix="noisegate-pages-") as folder,
        local.running(Path(folder), 0, workers=1) as up,
        up.client() as client,
    ):
        id = client.experiments.create(SPEC)["id"]
        while not client.experiments.get(id)["epochs_done"]:
            time.sleep(0.2)
        port = int(up.url.rpartition(":")[2])
        service = _service(port)
        without = asyncio.run(_measure(service, port, id, 0, asked.seconds))
        with_pages = asyncio.run(_measure(service, port, id, asked.pages, asked.seconds))
        client.experiments.cancel(id)
    more = with_pages["share_of_a_core"] - without["share_of_a_core"]
    figures = {"pages": asked.pages, "seconds": asked.seconds, "cores_shared": asked.busy, "without": without}
    figures |= {"with": with_pages, "more_share_of_a_core": round(more, 4)}
    print(figures)
    print(f"Kept in {keep('open_pages', figures)}")
    return 0 if more < TARGET else 1


def _service(port: int) -> psutil.Process:
    """The process that listens there."""
    for process in psutil.Process().children(recursive=True):
        if any(found.laddr.port == port for found in process.net_connections("tcp") if found.status == "LISTEN"):
            return process
    raise LookupError("nothing listens")


async def _measure(service: psutil.Process, port: int, id: str, pages: int, seconds: float) -> dict[str, float]:
    told = {"epoch": 0, "execution_finished": 0}
    streams = [asyncio.create_task(_listen(port, id, told)) for _ in range(pages)]
    await asyncio.sleep(5)  # all are open, and what happened before has been told
    told.update(dict.fromkeys(told, 0))
    before, began = service.cpu_times(), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = service.cpu_times(), time.monotonic() - began
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    used = (after.user - before.user) + (after.system - before.system)
    each = max(1, pages)
    return {
        "share_of_a_core": round(used / took, 4),
        "epochs_told": round(told["epoch"] / each, 1),
        "ends_told": round(told["execution_finished"] / each, 1),
    }


async def _listen(port: int, id: str, told: dict[str, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        ask = f"GET /experiments/{id}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n"
        writer.write(ask.encode())
        async for line in reader:
            kind = line.decode().strip().removeprefix("event: ")
            if kind in told:
                told[kind] += 1
    finally:
        writer.close()


if __name__ == "__main__":
    sys.exit(main())
