"""The short form: every fault once, on one database each, with leases that run out within seconds."""

from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest

from tests.faults import system
from tests.faults.base import SHORT, Fault
from tests.faults.catalogue import FAULTS
from tests.faults.invariants import References
from tests.faults.runner import run
from tests.faults.system import Database, System

_SEED = 20261123
_PACE = {
    "lease_seconds": 4.0,
    "heartbeat_seconds": 0.5,
    "reaper_seconds": 0.5,
    "wakeup_seconds": 2.0,
    "checkpoint_seconds": 1.0,
}


@pytest.fixture(scope="module")
def systems() -> Iterator[dict[Database, System]]:
    """One installation a database, which all faults are injected into; both start their workers at once."""
    with ExitStack() as stack:
        started: dict[Database, System] = {}
        for database in ("sqlite", "postgresql"):
            started[database] = stack.enter_context(system.running(database, pace=_PACE))
            started[database].have_workers(2)
        yield started


@pytest.fixture(scope="module")
def references() -> References:
    return References()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.short], ids=lambda fault: fault.name)
def test_nothing_is_lost_or_doubled(fault: Fault, systems: dict[Database, System], references: References) -> None:
    print(f"seed {_SEED}")  # noqa: T201 - shown when it fails
    random = Random(f"{_SEED} {fault.name}")
    assert fault.short is not None
    record = run(systems[fault.short], fault, SHORT, random, references, times=1)
    if record.skipped:
        pytest.skip(record.skipped)
    assert record.holds, record
