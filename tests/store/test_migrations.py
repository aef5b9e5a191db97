"""The migrations make exactly the tables that the code declares, on both databases, and can be taken back."""

import pytest
import sqlalchemy as sa
from alembic import command

from migrations.run import config, upgrade
from noisegate.store.sessions import create_engine


def _run(url: str, step: str, *arguments: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        alembic = config()
        alembic.attributes["connection"] = connection
        getattr(command, step)(alembic, *arguments)
    engine.dispose()


def _tables(url: str) -> set[str]:
    engine = create_engine(url)
    names = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return names - {"alembic_version"}


def test_migrations_and_tables_agree(database_url: str) -> None:
    upgrade(database_url)
    _run(database_url, "check")  # raises when autogenerate would write anything
    assert _tables(database_url) == {"aliases", "cells", "datasets", "executions", "experiments", "models"}


def test_upgrade_twice_is_upgrade_once_and_can_be_taken_back(database_url: str) -> None:
    upgrade(database_url)
    upgrade(database_url)
    _run(database_url, "downgrade", "base")
    assert _tables(database_url) == set()
    upgrade(database_url)
    assert "executions" in _tables(database_url)


@pytest.mark.parametrize("table", ["datasets", "executions", "experiments"])
def test_states_are_checked_by_the_database(database_url: str, table: str) -> None:
    upgrade(database_url)
    engine = create_engine(database_url)
    names = [check["name"] for check in sa.inspect(engine).get_check_constraints(table)]
    engine.dispose()
    assert names == [f"ck_{table}_state"]


def test_rows_of_the_first_tables_survive_the_way_up_and_down(database_url: str) -> None:
    upgrade(database_url, "0001")
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for statement in _FIRST_ROWS:
            connection.execute(sa.text(statement))
        before = _contents(connection)
    upgrade(database_url)
    with engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT is_base FROM cells")) in (False, 0)
    _run(database_url, "downgrade", "0001")
    with engine.begin() as connection:
        assert _contents(connection) == before
        assert len(before["executions"]) == 1
    engine.dispose()


_FIRST_ROWS = (
    "INSERT INTO datasets (id, name, source, state, image_size, images_done, attempt, losses, woken_at, created_at)"
    " VALUES ('ds_1', 'pets', 'upload', 'ready', 32, 7, 1, 0, 1.5, '2026-11-22 10:00:00')",
    "INSERT INTO experiments (id, name, spec, dataset_id, state, created_at)"
    " VALUES ('exp_1', 'first', '{}', 'ds_1', 'running', '2026-11-22 10:00:00')",
    "INSERT INTO cells (id, experiment_id, position, point, spec) VALUES ('cell_1', 'exp_1', 0, '{}', '{}')",
    "INSERT INTO executions (id, experiment_id, cell_id, position, seed, state, epochs, epochs_done, attempt, losses, woken_at)"
    " VALUES ('exe_1', 'exp_1', 'cell_1', 0, 9223372036854775807, 'running', 40, 3, 2, 1, 1.5)",
)


def _contents(connection: sa.Connection) -> dict[str, list[dict[str, object]]]:
    tables = ("datasets", "experiments", "cells", "executions")
    return {
        table: [dict(row._mapping) for row in connection.execute(sa.text(f"SELECT * FROM {table}"))] for table in tables
    }
