"""How many training processes a worker without a GPU has room for: by its cores, and by its container's limits (cgroup v2)."""

import math
import os
from pathlib import Path

# What a process took at most when benchmarks/cifar10_end_to_end.py ran, and a little more; and the worker's parent.
PROCESS_BYTES = 3 * 2**29
PARENT_BYTES = 2**29
# Of a process for data, on average: one that reads uploads stays well below, one that loads a backbone does not.
DATA_PROCESS_BYTES = 3 * 2**28

_CGROUP = Path("/sys/fs/cgroup")


def fitting_processes(data_processes: int, cgroup: Path = _CGROUP) -> int:
    """One a core that this process may use, as far as memory goes around; at least one.

    Args:
        data_processes: how many others there are, for data. They are not taken off the cores: most of the time they wait.
        cgroup: where the limits stand, in `cpu.max` and `memory.max`; outside a container there are none.
    """
    cores, memory = len(os.sched_getaffinity(0)), _limit(cgroup / "memory.max")
    quota, *period = _read(cgroup / "cpu.max")
    if quota.isdecimal() and period:
        cores = min(cores, math.ceil(int(quota) / int(period[0])))
    if memory is not None:
        cores = min(cores, (memory - PARENT_BYTES - data_processes * DATA_PROCESS_BYTES) // PROCESS_BYTES)
    return max(1, cores)


def _limit(file: Path) -> int | None:
    word, *_ = _read(file)
    return int(word) if word.isdecimal() else None


def _read(file: Path) -> list[str]:
    """Its words; `max` stands for no limit, and for no such file."""
    try:
        return file.read_text().split() or ["max"]
    except OSError:
        return ["max"]
