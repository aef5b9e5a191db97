"""Transactions: writers wait for each other instead of failing, and readers cannot write."""

import threading

import pytest
import sqlalchemy as sa

from noisegate.store.sessions import Sessions
from noisegate.store.tables import Dataset
from tests import factories


def test_reading_then_writing_from_threads_never_fails(sessions: Sessions) -> None:
    with sessions.begin() as session:
        dataset = factories.ready_dataset(session)
    failures: list[Exception] = []

    def count_up() -> None:
        try:
            for _ in range(25):
                with sessions.begin() as session:
                    row = session.get_one(Dataset, dataset.id, with_for_update=True)
                    row.images_done += 1
        except sa.exc.OperationalError as error:
            failures.append(error)

    before = dataset.images_done
    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    with sessions.reading() as session:
        assert session.get_one(Dataset, dataset.id).images_done == before + 100


def test_an_error_rolls_back(sessions: Sessions) -> None:
    with pytest.raises(RuntimeError), sessions.begin() as session:
        factories.ready_dataset(session)
        raise RuntimeError
    with sessions.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Dataset)) == 0


def test_a_reader_cannot_write_on_postgresql(sessions: Sessions) -> None:
    if sessions.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no read-only transactions")
    with pytest.raises(sa.exc.DBAPIError, match="read-only"), sessions.reading() as session:
        factories.ready_dataset(session)


def test_sqlite_waits_keeps_foreign_keys_and_logs_ahead(sessions: Sessions) -> None:
    if sessions.engine.dialect.name != "sqlite":
        pytest.skip("about SQLite")
    with sessions.engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert values == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30000}
