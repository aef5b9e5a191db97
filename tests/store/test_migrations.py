"""The migrations make exactly the tables that the code declares, on both databases, and carry rows both ways."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from pytest_alembic import Config as PytestAlembicConfig
from pytest_alembic import MigrationContext, tests
from pytest_alembic.runner import runner

from migrations.run import config, upgrade
from noisegate.store import claims
from noisegate.store.sessions import Sessions, create_engine

REVISIONS = [
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
]


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def alembic_config() -> Config:
    return config()


@pytest.fixture
def migrations(alembic_config: Config, engine: sa.Engine) -> Iterator[MigrationContext]:
    """pytest-alembic's way to move between revisions, with the rows of `_FIRST_ROWS` put in after the first."""
    rows = {"0001": [dict(row) for row in _FIRST_ROWS]}
    options = PytestAlembicConfig(at_revision_data=rows, alembic_config=alembic_config)
    with runner(config=options, engine=engine) as context:
        yield context


@pytest.mark.parametrize(
    "law",
    [
        tests.test_single_head_revision,
        tests.test_upgrade,
        tests.test_model_definitions_match_ddl,
        tests.test_up_down_consistency,
    ],
)
def test_the_laws_of_pytest_alembic(migrations: MigrationContext, law: Callable[[MigrationContext], None]) -> None:
    law(migrations)


def test_upgrade_twice_is_upgrade_once(database_url: str, engine: sa.Engine) -> None:
    upgrade(database_url)
    before = sa.inspect(engine).get_table_names()
    upgrade(database_url)
    assert sa.inspect(engine).get_table_names() == before
    assert "executions" in before


@pytest.mark.parametrize("table", ["datasets", "derived", "executions", "experiments"])
def test_states_are_checked_by_the_database(database_url: str, engine: sa.Engine, table: str) -> None:
    upgrade(database_url)
    names = [check["name"] for check in sa.inspect(engine).get_check_constraints(table)]
    assert names == [f"ck_{table}_state"]


def test_rows_survive_every_step_up_and_down(migrations: MigrationContext, engine: sa.Engine) -> None:
    """From the first tables to the newest and back, a revision at a time: what a revision knows is never changed."""
    seen: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for revision in REVISIONS:
        migrations.migrate_up_to(revision)
        seen[revision] = _contents(engine)
        for earlier in seen.values():
            assert _restricted(seen[revision], earlier) == earlier
    for revision in reversed(REVISIONS[:-1]):
        migrations.migrate_down_to(revision)
        assert _contents(engine) == seen[revision]
    assert [len(rows) for rows in seen["0001"].values()] == [1, 1, 2, 4]


def test_work_that_waited_before_the_upgrade_is_claimed_after_it_in_its_old_order(
    migrations: MigrationContext, engine: sa.Engine
) -> None:
    migrations.migrate_up_to(REVISIONS[-1])
    with engine.begin() as connection:
        spec = '{"dataset": "pets", "sweep": {}}'
        connection.execute(sa.text("UPDATE cells SET spec = :spec"), {"spec": spec})
        rows = connection.execute(sa.text("SELECT id, place FROM executions")).all()
    # Every cell's first execution before any cell's second: exe_2 is the first of the second cell.
    assert {row.id: row.place for row in rows} == {"exe_1": 0, "exe_2": 1, "exe_3": 2, "exe_4": 3}
    claimed = []
    sessions = Sessions(engine)
    while True:
        with sessions.begin() as session:
            granted = claims.claim(session, owner="w/1", lease_seconds=30, capacity=1)
        if not granted:
            break
        claimed += [lease.id for lease in granted]
    assert claimed == ["exe_2", "exe_3", "exe_4"], "exe_1 runs already"


_CREATED = datetime(2026, 11, 22, 10, tzinfo=UTC)
_WAITING = {"state": "queued", "epochs": 40, "epochs_done": 0, "attempt": 0, "losses": 0, "woken_at": 1.5}
_RUNNING = {"state": "running", "owner": "w", "lease_until": 9e9, "epochs_done": 3, "attempt": 2, "losses": 1}
_FIRST_ROWS: list[dict[str, Any]] = [
    {
        "__tablename__": "datasets",
        "id": "ds_1",
        "name": "pets",
        "source": "upload",
        "state": "ready",
        "image_size": 32,
        "images_done": 7,
        "attempt": 1,
        "losses": 0,
        "woken_at": 1.5,
        "created_at": _CREATED,
    },
    {
        "__tablename__": "experiments",
        "id": "exp_1",
        "name": "first",
        "spec": {},
        "dataset_id": "ds_1",
        "state": "running",
        "created_at": _CREATED,
    },
    {"__tablename__": "cells", "id": "cell_1", "experiment_id": "exp_1", "position": 0, "point": {}, "spec": {}},
    {"__tablename__": "cells", "id": "cell_2", "experiment_id": "exp_1", "position": 1, "point": {}, "spec": {}},
    *(
        {
            "__tablename__": "executions",
            "id": id,
            "experiment_id": "exp_1",
            "cell_id": cell,
            "position": position,
            "seed": 2**63 - 1 - position,
            **_WAITING,
            **changes,
        }
        for id, cell, position, changes in (
            ("exe_1", "cell_1", 0, _RUNNING),
            ("exe_2", "cell_2", 0, {}),
            ("exe_3", "cell_1", 1, {}),
            ("exe_4", "cell_2", 1, {}),
        )
    ),
]


def _contents(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    tables = ("datasets", "experiments", "cells", "executions")
    with engine.begin() as connection:
        return {
            table: [dict(row._mapping) for row in connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY id"))]
            for table in tables
        }


def _restricted(newer: dict[str, list[dict[str, Any]]], older: dict[str, list[dict[str, Any]]]) -> object:
    """The newer contents, of the columns that the older ones have."""
    return {
        table: [{name: row[name] for name in old} for row, old in zip(newer[table], rows, strict=True)]
        for table, rows in older.items()
    }
