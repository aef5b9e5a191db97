"""How many training processes fit a container."""

import os
from pathlib import Path

import pytest

from worker import sizing
from worker.sizing import fitting_processes

GIB = 2**30


@pytest.fixture(autouse=True)
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.parametrize(
    ("memory", "cpu", "data_processes", "processes"),
    [
        ("max", "max 100000", 2, 16),
        (str(8 * GIB), "max 100000", 2, 4),  # docker-compose.yml's own limit
        (str(8 * GIB), "max 100000", 0, 5),
        (str(64 * GIB), "max 100000", 2, 16),
        (str(64 * GIB), "350000 100000", 2, 4),
        (str(8 * GIB), "200000 100000", 2, 2),
        (str(GIB // 4), "max 100000", 2, 1),
        ("", "", 2, 16),
    ],
)
def test_cores_and_memory_of_a_container(
    tmp_path: Path, memory: str, cpu: str, data_processes: int, processes: int
) -> None:
    (tmp_path / "memory.max").write_text(f"{memory}\n")
    (tmp_path / "cpu.max").write_text(f"{cpu}\n")
    assert fitting_processes(data_processes, tmp_path) == processes


def test_without_limits_one_a_core(tmp_path: Path) -> None:
    assert fitting_processes(2, tmp_path / "nowhere") == 16


def test_that_many_fit_the_limit_with_the_parent() -> None:
    assert 4 * sizing.PROCESS_BYTES + 2 * sizing.DATA_PROCESS_BYTES + sizing.PARENT_BYTES <= 8 * GIB
