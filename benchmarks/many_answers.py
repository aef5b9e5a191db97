"""Does memory stay as it is over a million answers? One service with one model, wrk with 16 connections, JPEGs of 32 × 32.

    python benchmarks/many_answers.py [--answers 1000000] [--model FOLDER]

The service runs in this process, so that Python's own counts can be read: blocks of memory that objects hold, besides what the
system says is resident. Both are looked at after a warm-up, and then ten times, each time with nothing under way. Then tracemalloc
watches another 20,000 answers. Exits with 1 if between the first and the last look a block was kept for every tenth answer, or
10 MiB became resident.
"""

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import psutil
import uvicorn
from classify_peers.bodies import write_bodies
from classify_peers.installation import prepare, service_environment
from classify_peers.line_up import FORM_FIELDS
from classify_peers.onnx_model import OnnxModel
from classify_peers.servers import HOST, MIB, free_port
from classify_peers.subjects import scans
from classify_peers.wrk import load, write_script
from record import keep
from rich.table import Table

from noisegate.client.show import console_for
from service.app import create_app
from service.upgrades import IgnoresUpgrades

LOOKS, TRACED, A_LOAD_SECONDS = 10, 20_000, 5
MOST_BLOCKS, MOST_MIB = 0.1, 10.0
Look = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--model", type=Path, help="folder for the trained model; used again if there is one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noisegate-answers-") as name:
        folder = Path(name)
        data_dir, model_dir = prepare(scans(), (asked.model or folder).absolute())
        bodies = write_bodies(folder / "bodies", OnnxModel(model_dir), scans().images(), FORM_FIELDS)
        script = folder / "load.lua"
        write_script(script, *bodies.kind(None))
        os.environ |= service_environment(data_dir)
        server = uvicorn.Server(
            uvicorn.Config(create_app(), host=HOST, port=free_port(), http=IgnoresUpgrades, log_config=None)
        )
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            looks, traced_bytes = runner.run(_watched(server, script, asked.answers))
    return _report(looks, traced_bytes)


async def _watched(server: uvicorn.Server, script: Path, answers: int) -> tuple[list[Look], float]:
    """The looks at memory, and the bytes that tracemalloc saw kept for an answer."""
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)

    async def answered(count: int) -> int:
        done = 0
        while done < count:
            done += await asyncio.to_thread(_load, server.config.port, script)
        return done

    await answered(max(2_000, answers // 50))
    looks, done = [_look(0)], 0
    for part in range(1, LOOKS + 1):
        done += await answered(part * answers // LOOKS - done)
        looks.append(_look(done))
    tracemalloc.start()
    await answered(TRACED // 10)
    gc.collect()
    before, count = tracemalloc.get_traced_memory()[0], await answered(TRACED)
    gc.collect()
    kept = (tracemalloc.get_traced_memory()[0] - before) / count
    server.should_exit = True
    await serving
    return looks, kept


def _load(port: int, script: Path) -> int:
    found = load(f"http://{HOST}:{port}/classify", script, A_LOAD_SECONDS, sorted(os.sched_getaffinity(0)))
    if found.refused or found.broken:
        raise RuntimeError(f"not all were answered: {found}")
    return found.answered


def _look(answered: int) -> Look:
    gc.collect()
    resident = psutil.Process().memory_full_info()
    look = {
        "answered": answered,
        "blocks": sys.getallocatedblocks(),
        "rss_mib": round(resident.rss / MIB, 2),
        "uss_mib": round(resident.uss / MIB, 2),
    }
    print(f"{time.strftime('%H:%M:%S')} {look}", flush=True)
    return look


def _report(looks: list[Look], traced_bytes: float) -> int:
    table = Table(title="Memory of the service, with nothing under way")
    for heading in ("answered since", "blocks of Python's objects", "resident MiB", "its own MiB"):
        table.add_column(heading, justify="right")
    for look in looks:
        table.add_row(*(f"{look[key]:,}" for key in ("answered", "blocks", "rss_mib", "uss_mib")))
    console_for().print(table)
    first, last = looks[0], looks[-1]
    blocks = (last["blocks"] - first["blocks"]) / last["answered"]
    grown = last["rss_mib"] - first["rss_mib"]
    flat = blocks < MOST_BLOCKS and grown < MOST_MIB
    print(f"{blocks:.4f} blocks and {1024 * 1024 * grown / last['answered']:.1f} bytes resident an answer; ", end="")
    print(f"tracemalloc: {traced_bytes:.1f} bytes. {'Flat' if flat else 'NOT FLAT'}")
    figures = {"looks": looks, "blocks_an_answer": blocks, "grown_mib": grown, "traced_bytes_an_answer": traced_bytes}
    print(f"Kept in {keep('many_answers', figures)}")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
