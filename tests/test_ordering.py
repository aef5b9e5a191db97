"""Which part of the tests each process of pytest-xdist begins with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ordering import ordered

ROOT = Path("/tests")
WAITING = ["end_to_end/test_presets.py", "end_to_end/test_whole.py", "faults/test_on_postgresql.py"]
ALSO_WAITING = ["faults/test_on_sqlite.py", "worker/test_process.py", "worker/test_views.py"]
COMPUTING = [f"learning/test_{number}.py" for number in range(9)]


@dataclass(frozen=True)
class Item:
    path: Path


def order(processes: int, places: list[str]) -> list[str]:
    items: list[Any] = [Item(ROOT / place) for place in places]
    return [str(item.path.relative_to(ROOT)) for item in ordered(items, ROOT, processes)]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_waits_comes_first_and_the_rest_stays_in_its_order(processes: int) -> None:
    assert order(processes, [*COMPUTING, *ALSO_WAITING, *reversed(WAITING)]) == [*WAITING, *ALSO_WAITING, *COMPUTING]


def test_of_three_processes_two_begin_with_what_waits() -> None:
    found = order(3, [*COMPUTING, *ALSO_WAITING, *WAITING])
    assert sorted(found) == sorted([*COMPUTING, *ALSO_WAITING, *WAITING])
    assert (found[:3], found[5:8]) == (WAITING, ALSO_WAITING), "the second third of 15"


def test_where_the_first_part_is_full_of_what_waits_nothing_is_lost() -> None:
    assert order(3, [*WAITING, *ALSO_WAITING]) == [*WAITING, *ALSO_WAITING]


def test_items_elsewhere_come_with_those_that_compute() -> None:
    items: list[Any] = [Item(Path("/elsewhere/test_a.py")), Item(ROOT / WAITING[0])]
    assert ordered(items, ROOT, 1) == items[::-1]
