"""The long form: `python -m tests.faults [--times N] [--only NAME] [--database sqlite|postgresql|both] [--json FILE]`.

Injects every fault with leases, heartbeats and reapers as they are delivered, prints a table, and exits with 1 if a bound
is broken.
"""

import argparse
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from random import Random

from rich.console import Console

from tests import reaper
from tests.faults import report, system
from tests.faults.base import LONG, Fault
from tests.faults.catalogue import FAULTS
from tests.faults.invariants import References
from tests.faults.runner import Record, run
from tests.faults.system import Database, System


def main() -> int:
    asked = _arguments()
    reaper.watch()  # killed, it leaves nothing behind
    # Asked to end, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for name in [name for name in os.environ if name.startswith("NOISEGATE_")]:
        del os.environ[name]
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(f"seed {asked.seed}")
    started, records, references = time.monotonic(), list[Record](), References()
    for database in ("sqlite", "postgresql") if asked.database == "both" else (asked.database,):
        records += _on(database, asked, references, console)
    console.print(report.table(records))
    for record in records:
        for line in record.broken:
            console.print(f"{record.fault}, {record.database}: {line}", markup=False)
    if asked.json:
        report.write(asked.json, records, seed=asked.seed, seconds=time.monotonic() - started)
    console.print(f"{time.monotonic() - started:.0f} s")
    return 0 if all(record.holds for record in records) else 1


def _on(database: Database, asked: argparse.Namespace, references: References, console: Console) -> list[Record]:
    records: list[Record] = []
    faults = [fault for fault in FAULTS if database in fault.databases and fault.name in (asked.only or [fault.name])]
    while remaining := faults[len(records) :]:
        logs = asked.logs and asked.logs / f"{database}-{len(records)}"
        with system.running(database, logs) as installation:
            for fault in remaining:
                records.append(_one(installation, fault, asked, references, console))
                if not records[-1].holds:
                    break  # what it left is not to be blamed on the next one, which gets a new installation
    return records


def _one(
    installation: System, fault: Fault, asked: argparse.Namespace, references: References, console: Console
) -> Record:
    # Of its own, so that one alone meets what it met among all.
    random = Random(f"{asked.seed} {fault.name} {installation.database}")
    times, since = asked.times or fault.times, time.monotonic()
    note = partial(console.print, markup=False, highlight=False)
    record = run(installation, fault, LONG, random, references, times=times, note=note)
    note(f"{time.monotonic() - since:6.1f} s  {installation.database}  {fault.name}: {record.verdict}")
    return record


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--times", type=int, help="how often each fault is injected, instead of its own number")
    parser.add_argument("--only", action="append", choices=[fault.name for fault in FAULTS])
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--json", type=Path, help="where to write the table, with date, hardware and versions")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="draws the random moments; printed")
    parser.add_argument("--logs", type=Path, help="where to leave the logs of all processes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
