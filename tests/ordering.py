"""The order of the tests: what starts other processes, and mostly waits for them, comes where another test computes meanwhile."""

from collections.abc import Sequence
from pathlib import Path

import pytest

# pytest-xdist gives each of its processes an equal part of the tests, in order, and one that is through takes half of what
# another has left. So parts begin with what lasts minutes, which is never begun last, and one part computes from the start.
_FIRST = (
    "end_to_end/test_presets.py",
    "end_to_end/",
    "faults/test_on_postgresql.py",
)
_SECOND = ("faults/", "worker/test_process.py", "worker/test_data_processes.py", "worker/")


def ordered(items: Sequence[pytest.Item], root: Path, processes: int) -> list[pytest.Item]:
    """The items below `root`, in the order for a given number of processes; what is alike stays in its order.

    Two processes share one chain of what waits. Of three or more, the second begins with a chain of its own: one would last
    longer than all that computes.
    """
    places = [item.path.relative_to(root).as_posix() if item.path.is_relative_to(root) else "" for item in items]
    ranks = [_rank(place) for place in places]
    by_rank = sorted(range(len(items)), key=ranks.__getitem__)
    first = [items[at] for at in by_rank if ranks[at] < len(_FIRST)]
    second = [items[at] for at in by_rank if len(_FIRST) <= ranks[at] < _OTHERS]
    others = [items[at] for at in by_rank if ranks[at] == _OTHERS]
    between = max(0, len(items) // processes - len(first)) if processes > 2 else 0
    return [*first, *others[:between], *second, *others[between:]]


_OTHERS = len(_FIRST) + len(_SECOND)


def _rank(place: str) -> int:
    return next((rank for rank, start in enumerate(_FIRST + _SECOND) if place.startswith(start)), _OTHERS)
