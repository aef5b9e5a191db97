"""How long `noisegate up` takes until it is ready, and what it takes while there is nothing to do.

    python benchmarks/start_and_idle.py [--before CHECKOUT] [--rounds 3] [--seconds 60]

In each round it is started in an empty folder, which is migrated and unpacks the digits, and then again in the same folder, which
is how it starts on every other day. After --settle seconds, in which a process that has unpacked the digits gives their memory
back, processor time and memory of all its processes are counted over --seconds. Memory is proportional (PSS): pages that
processes share count once in all. Time until ready is from the command to its line. With --before an earlier version takes turns.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from record import RESULTS, keep
from train_parts.markdown import table

TARGETS = {"ready_seconds": 3.0, "percent_of_a_core": 1.0, "pss_mib": 600.0}

Found = dict[str, Any]


def main() -> int:
    asked = _options()
    versions = {"now": Path(__file__).resolve().parents[1]} | ({"before": asked.before} if asked.before else {})
    rounds = []
    load = os.getloadavg()[0]
    for number in range(1, asked.rounds + 1):
        rounds.append({name: _measured(checkout, asked) for name, checkout in versions.items()})
        print(f"round {number}: {rounds[-1]}", flush=True)
    figures = {
        "command": f"python benchmarks/start_and_idle.py --rounds {asked.rounds} --seconds {asked.seconds:g}",
        "load_average": [round(load, 2), round(os.getloadavg()[0], 2)],
        "medians": {name: _medians([one[name] for one in rounds]) for name in versions},
        "rounds": rounds,
    }
    return _report(figures, asked.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), help="a checkout of an earlier version")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--settle", type=float, default=150)
    parser.add_argument("--out", type=Path, default=RESULTS / "start_and_idle.json")
    return parser.parse_args()


def _measured(checkout: Path, asked: argparse.Namespace) -> Found:
    with tempfile.TemporaryDirectory(prefix="noisegate-start-") as name:
        first, idle = _run(checkout, Path(name) / "data", asked.settle, asked.seconds)
        again, _ = _run(checkout, Path(name) / "data", 0, 0)
    return {"first_seconds": first, "ready_seconds": again, **idle}


def _run(checkout: Path, data: Path, settle: float, seconds: float) -> tuple[float, Found]:
    """Seconds until ready, and what it took while nothing was to be done."""
    command = [sys.executable, "-m", "noisegate.client.cli", "up", "--port", "0", "--data-dir", str(data)]
    began = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(checkout)}, cwd=checkout
    ) as up:
        try:
            assert up.stdout is not None
            line = up.stdout.readline()
            ready = time.monotonic() - began
            assert line.startswith(b"Noisegate is ready"), line
            return round(ready, 2), _idle(psutil.Process(up.pid), settle, seconds) if seconds else {}
        finally:
            up.terminate()
            up.wait()


def _idle(up: psutil.Process, settle: float, seconds: float) -> Found:
    time.sleep(settle)
    family = [up, *up.children(recursive=True)]
    before = {process: _cpu_seconds(process) for process in family}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    rows: list[Found] = [
        {
            "process": _name(process),
            "percent": round(100 * (_cpu_seconds(process) - before[process]) / took, 2),
            "pss_mib": round(_pss_mib(process), 1),
            "rss_mib": round(process.memory_info().rss / 2**20, 1),
        }
        for process in family
    ]
    return {
        "percent_of_a_core": round(sum(row["percent"] for row in rows), 2),
        "pss_mib": round(sum(row["pss_mib"] for row in rows)),
        "processes": rows,
    }


def _name(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    roles = {"service.main": "service", "valkey": "broker", "watchdog": "watchdog", " up ": "noisegate up"}
    # Of a worker each process has a name; its parent, and those of earlier versions, have that of Python.
    return next((role for sign, role in roles.items() if sign in words), process.name().replace("python", "worker"))


def _cpu_seconds(process: psutil.Process) -> float:
    """To the nanosecond where the kernel says so: its clock ticks are of ten milliseconds."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def _pss_mib(process: psutil.Process) -> float:
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1]) / 1024


def _medians(found: list[Found]) -> dict[str, float]:
    names = ("first_seconds", "ready_seconds", "percent_of_a_core", "pss_mib")
    return {name: round(statistics.median(one[name] for one in found), 2) for name in names}


def _report(figures: Found, out: Path) -> int:
    medians, idle = figures["medians"], figures["rounds"][-1]["now"]["processes"]
    print(table(["", *medians["now"]], [[name, *found.values()] for name, found in medians.items()]), "\n")
    print(table(["process", "% of a core", "PSS, MiB", "RSS, MiB"], [list(row.values()) for row in idle]), "\n")
    figures["targets"] = {
        name: {"at most": most, "found": medians["now"][name], "reached": medians["now"][name] <= most}
        for name, most in TARGETS.items()
    }
    for name, target in figures["targets"].items():
        print(
            f"{'reached' if target['reached'] else 'MISSED'}: {name} {target['found']} (at most {target['at most']:g})"
        )
    print(f"Kept in {keep('start_and_idle', figures, out)}")
    return 0 if all(target["reached"] for target in figures["targets"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
