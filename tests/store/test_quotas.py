from pathlib import Path

import pytest
import sqlalchemy as sa

from noisegate.errors import InvalidSpec, QuotaExceeded, StorageFull
from noisegate.store import executions, experiments, quotas
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from tests import factories


@pytest.fixture
def four_open(sessions: Sessions) -> str:
    """An experiment with three executions that wait and one that runs."""
    with sessions.begin() as session:
        factories.ready_dataset(session)
        id = factories.queued_experiment(session).id
        factories.claim_one(session)
    return id


def test_what_waits_and_what_runs_counts(sessions: Sessions, four_open: str) -> None:
    with sessions.reading() as session:
        quotas.check_queue(session, 6, most=10)
        with pytest.raises(QuotaExceeded, match=r"4 executions wait or run; with these 7 .* 10") as caught:
            quotas.check_queue(session, 7, most=10)
    assert caught.value.retry_after_seconds > 0


def test_what_has_ended_does_not_count(sessions: Sessions, four_open: str) -> None:
    with sessions.begin() as session:
        executions.record_success(session, factories.claim_one(session)[1], factories.outcome())
        quotas.check_queue(session, 7, most=10)
        experiments.cancel(session, four_open)
        quotas.check_queue(session, 9, most=10)  # the one that runs is still there


def test_what_never_fits_is_not_worth_waiting_for(sessions: Sessions) -> None:
    with sessions.reading() as session, pytest.raises(InvalidSpec) as caught:
        quotas.check_queue(session, 11, most=10)
    (error,) = caught.value.errors
    assert (error.field, error.remedy) == ("executions", "Ask for at most 10 executions in all cells together.")


def test_counting_reads_the_index_alone(sessions: Sessions, four_open: str) -> None:
    if sessions.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL chooses by statistics, and reads a table of four rows whole")
    statements: list[str] = []
    sa.event.listen(sessions.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    with sessions.reading() as session:
        quotas.check_queue(session, 1, most=10)
        plan = session.connection().exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statements[-1]}", ("queued", "running", 10, 0)
        )
        assert "COVERING INDEX ix_executions_waiting" in str(plan.all())


def test_room_on_the_disk(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    quotas.check_room(artefacts, min_free_bytes=1)
    with pytest.raises(StorageFull, match="bytes of the disk are free"):
        quotas.check_room(artefacts, min_free_bytes=2**62)
