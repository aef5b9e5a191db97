"""Where and with what a figure was measured; every result file begins with it."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("noisegate", "torch", "numpy", "onnxruntime", "fastapi", "celery", "sqlalchemy")


def machine() -> dict[str, Any]:
    """Processor, cores, memory and versions."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": model,
        "cores": os.cpu_count(),
        "bfloat16": "avx512_bf16" in flags or "amx_bf16" in flags,
        "python": platform.python_version(),
        "versions": _versions(),
    }


def keep(name: str, figures: dict[str, Any], path: Path | None = None) -> Path:
    """Write `figures` beside the machine they were measured on, over the last ones of this name, or at `path`."""
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **figures}, indent=2) + "\n")
    return path


def _versions() -> dict[str, str]:
    """Of those packages that are installed; some benchmarks run from a bare checkout."""
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed
