"""The short form: every fault once, on one database each, with leases that expire within seconds.

A file for each database, so that both can run at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def installation(database: Database) -> Iterator[System]:
    """An installation with two workers, which all faults of this database are injected into."""
    with system.running(database, pace=_PACE) as started:
        started.have_workers(2)
        yield started


def faults_of(database: Database) -> pytest.MarkDecorator:
    """Parametrizes a test by the faults of the short form on this database."""
    found = [
        pytest.param(fault, id=fault.name, marks=pytest.mark.nightly if fault.nightly else ())
        for fault in FAULTS
        if fault.short == database
    ]
    return pytest.mark.parametrize("fault", found)


def expect_nothing_lost_or_doubled(fault: Fault, system: System, references: References) -> None:
    """Inject the fault. How soon work goes on is a matter of the long form, which has the machine to itself."""
    print(f"seed {_SEED}")  # noqa: T201 - shown when it fails
    record = run(system, fault, SHORT, Random(f"{_SEED} {fault.name}"), references, times=1)
    if record.skipped:
        pytest.skip(record.skipped)
    assert record.sound, record
