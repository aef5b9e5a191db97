"""Every fault once, on PostgreSQL."""

from collections.abc import Iterator

import pytest

from tests.faults import short
from tests.faults.base import Fault
from tests.faults.invariants import References
from tests.faults.system import System


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with short.installation("postgresql") as started:
        yield started


@pytest.fixture(scope="module")
def references() -> References:
    return References()


@short.faults_of("postgresql")
def test_nothing_is_lost_or_doubled(fault: Fault, system: System, references: References) -> None:
    short.expect_nothing_lost_or_doubled(fault, system, references)
