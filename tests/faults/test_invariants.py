"""The checks themselves can fail: each damage is seen, and nothing else is."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from noisegate.store import executions
from noisegate.store.states import State
from noisegate.store.tables import Dataset, Event, Execution
from tests import factories
from tests.faults import system
from tests.faults.base import SHORT
from tests.faults.invariants import Findings, References, check
from tests.faults.system import System


@pytest.fixture(scope="module")
def installation() -> Iterator[System]:
    with system.running("sqlite") as started:
        yield started


def _finished(system: System, accuracy: float = 0.75) -> str:
    """An experiment of two executions that have succeeded, in this process."""
    id = system.post(SHORT.small(executions=2), wake=False)
    for _ in range(2):
        with system.sessions.begin() as session:
            _, lease = factories.claim_one(session)
            executions.record_success(session, lease, factories.outcome(accuracy))
    return id


def _run(system: System, statement: sa.Executable, **values: object) -> None:
    with system.sessions.begin() as session:
        session.execute(statement, values)


def _check(system: System, id: str, references: References | None = None) -> Findings:
    return check(system, [id], references or References(), patience=0.2)


def test_what_is_sound_is_found_so(installation: System) -> None:
    assert _check(installation, _finished(installation)) == Findings()


def test_a_second_acceptance_is_seen(installation: System) -> None:
    id = _finished(installation)
    execution = installation.rows(id)[0].id
    _run(installation, sa.text("INSERT INTO witness_accepted VALUES (:id, 2, 'zombie')"), id=execution)
    assert _check(installation, id) == Findings(doubled=1)


def test_an_end_that_nobody_recorded_is_seen(installation: System) -> None:
    id = _finished(installation)
    execution = installation.rows(id)[1].id
    _run(installation, sa.text("DELETE FROM witness_accepted WHERE execution_id = :id"), id=execution)
    assert _check(installation, id) == Findings(lost=1)


def test_a_claim_granted_twice_is_seen(installation: System) -> None:
    id = _finished(installation)
    execution = installation.rows(id)[0].id
    forged = "execution_id = :id AND owner = 'other'"
    _run(installation, sa.text("INSERT INTO witness_granted VALUES (:id, 1, 'other')"), id=execution)
    assert _check(installation, id).broken == [f"{execution} was granted twice as attempt 1"]
    _run(installation, sa.text(f"DELETE FROM witness_granted WHERE {forged}"), id=execution)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_a_missing_event_is_seen(installation: System, number: int) -> None:
    id = _finished(installation)
    _run(installation, sa.delete(Event).where(Event.experiment_id == id, Event.number == number))
    assert any("has events" in line for line in _check(installation, id).broken)


def test_a_held_row_is_seen(installation: System) -> None:
    id = _finished(installation)
    execution = installation.rows(id)[0].id
    held = sa.update(Execution).where(Execution.id == execution)
    _run(installation, held.values(lease_until=1e12))
    assert _check(installation, id).broken == [f"{execution} is held"]
    _run(installation, held.values(lease_until=None))


def test_an_execution_left_behind_is_seen(installation: System) -> None:
    id = _finished(installation)
    left = sa.update(Execution).where(Execution.id == installation.rows(id)[0].id)
    _run(installation, left.values(state=State.RUNNING))
    assert len(_check(installation, id).broken) == 3  # its state, its end among the events, and nothing may run
    _run(installation, left.values(state=State.SUCCEEDED))


def test_other_results_are_seen(installation: System) -> None:
    references = References()
    references.keep(installation, _finished(installation))
    assert _check(installation, _finished(installation), references) == Findings()
    other = _check(installation, _finished(installation, accuracy=0.7500000001), references)
    assert len(other.broken) == 2
    assert "differs in ['metrics']" in other.broken[0]


def test_a_row_without_its_file_is_seen(installation: System) -> None:
    id = _finished(installation)
    with installation.sessions.reading() as session:
        digest = session.scalar(sa.select(Dataset.images_digest))
    assert digest is not None
    data = installation.artefacts.read(digest)
    installation.artefacts.delete(digest)
    assert _check(installation, id).broken == [f"{digest} is named by datasets.images_digest and has no file"]
    assert installation.artefacts.put_bytes(data) == digest


def test_a_file_without_a_row_is_seen(installation: System) -> None:
    id = _finished(installation)
    digest = installation.artefacts.put_bytes(b"nobody's")
    assert _check(installation, id).broken == [f"{digest} has a file and no row"]
    installation.artefacts.delete(digest)
