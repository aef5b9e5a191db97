"""POST /classify at 1, 4, 16 and 64 connections, and by one or several processes of the service, with JPEGs of one size.

    python benchmarks/connections.py [--photographs TAR] [--processes 2] [--seconds 8] [--rounds 3] [--model FOLDER]

First one process on one core, wrk on another: answers a second, p50 and p99, and processor time an answer. Then one process and
several, with all cores for them and for wrk, whose share is missing in both.
JPEGs are of 32 × 32, to a network of ours; with --photographs of 640 × 480, to a layer on the embedded backbone at 224 px. After
each load the service's own counters are compared with what wrk saw, of all processes together.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from classify_peers.bodies import Bodies, write_bodies
from classify_peers.installation import prepare
from classify_peers.line_up import FORM_FIELDS, Variant, noisegate
from classify_peers.onnx_model import OnnxModel
from classify_peers.servers import Server, started
from classify_peers.subjects import Subject, photographs, scans
from classify_peers.wrk import load, write_script
from record import keep
from rich.table import Table

from noisegate.client.show import console_for

CONNECTIONS = (1, 4, 16, 64)
WARM_UP_SECONDS = 2
SHOWN = {"per_second": "a second", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "cpu_us": "CPU µs"}
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Placed:
    """A service of one or several processes, and the cores that it and wrk may use."""

    name: str
    server: Server
    of_server: Sequence[int]
    of_load: Sequence[int]


def main() -> int:
    asked = _options()
    subject = photographs(asked.photographs) if asked.photographs else scans()
    with tempfile.TemporaryDirectory(prefix="noisegate-connections-") as name:
        folder = Path(name)
        data_dir, model_dir = prepare(subject, (asked.model or folder).absolute())
        bodies = write_bodies(folder / "bodies", OnnxModel(model_dir), subject.images(), FORM_FIELDS)
        script = folder / "load.lua"
        write_script(script, *bodies.kind(None))
        rounds: list[Figures] = []
        for _ in range(asked.rounds):
            found: Figures = {}
            for placed in _placed(data_dir, asked.processes):
                found |= _measured(placed, bodies, script, folder, asked.seconds)
            rounds.append(found)
    return _report(subject, rounds, asked.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, help="tar of <class>/<file>, JPEGs of 128 × 128: serve a backbone")
    parser.add_argument("--processes", type=int, default=2, help="of the service, beside one")
    parser.add_argument("--seconds", type=int, default=8, help="of load at each number of connections in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="folder for the trained model; used again if there is one")
    return parser.parse_args()


def _placed(data_dir: Path, processes: int) -> Iterator[Placed]:
    cores = sorted(os.sched_getaffinity(0))
    yield Placed("a core of its own", noisegate(data_dir), cores[:1], cores[1:])
    # By this one the ratio of several to one is told: wrk takes its share of the cores in both.
    yield Placed("1 process, all cores", noisegate(data_dir), cores, cores)
    several = Variant({"NOISEGATE_SERVICE_PROCESSES": str(processes)})
    yield Placed(f"{processes} processes, all cores", noisegate(data_dir, variant=several), cores, cores)


def _measured(placed: Placed, bodies: Bodies, script: Path, folder: Path, seconds: int) -> Figures:
    """What a server does at each number of connections."""
    found: Figures = {}
    with started(placed.server, bodies, placed.of_server, folder) as up:
        for connections in CONNECTIONS:
            load(up.url, script, WARM_UP_SECONDS, placed.of_load, connections)
            up.settle()
            counted, used = _counted(up.url, placed.server), up.cpu_seconds()
            seen = load(up.url, script, seconds, placed.of_load, connections)
            used = up.cpu_seconds() - used
            up.settle()
            missing = seen.answered - (_counted(up.url, placed.server) - counted)
            # What was under way when wrk stopped is counted by the server, and no caller got it.
            if not -connections <= missing <= 0 or seen.refused or seen.broken:
                sys.exit(
                    f"{placed.name}, {connections} connections: {seen}, {missing} of them not counted by the service"
                )
            found[f"{placed.name}, {connections}"] = {**vars(seen), "cpu_us": 1e6 * used / seen.answered}
    return found


def _counted(url: str, server: Server) -> int:
    """The answers that the service says it has given, by all its processes."""
    text = httpx2.get(url.removesuffix(server.path) + "/metrics", trust_env=False).text
    lines = [line for line in text.splitlines() if line.startswith("noisegate_http_requests_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if 'route="/classify"' in line and '"200"' in line)


def _report(subject: Subject, rounds: Sequence[Figures], seconds: int) -> int:
    medians = {
        name: {key: round(statistics.median(each[name][key] for each in rounds), 2) for key in SHOWN}
        for name in rounds[0]
    }
    table = Table(title=f"POST /classify of {subject.sent}; medians of {len(rounds)} rounds")
    table.add_column("")
    for heading in ("connections", *SHOWN.values()):
        table.add_column(heading, justify="right")
    for name, found in medians.items():
        server, _, connections = name.rpartition(", ")
        table.add_row(server, connections, *(f"{found[key]:,.{key.endswith('_ms'):d}f}" for key in SHOWN))
    console_for().print(table)
    kept = subject.kept.replace("classify", "connections")
    print(f"Kept in {keep(kept, {'seconds': seconds, 'medians': medians, 'rounds': rounds})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
