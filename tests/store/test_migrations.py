"""The migrations make exactly the tables that the code declares, on both databases, and can be taken back."""

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


def test_states_are_checked_by_the_database(database_url: str) -> None:
    upgrade(database_url)
    engine = create_engine(database_url)
    names = {check["name"] for check in sa.inspect(engine).get_check_constraints("executions")}
    engine.dispose()
    assert "ck_executions_state" in names
