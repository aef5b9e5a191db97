"""What the database itself does for a test: it keeps count beside the code under test, and makes commits slow."""

import sqlalchemy as sa

_PAIRS = {"accepted": "NEW.state = 'succeeded'", "granted": "NEW.attempt <> OLD.attempt"}
_COLUMNS = {"accepted": "state", "granted": "attempt"}


def install(connection: sa.Connection) -> None:
    """Have triggers note every result accepted and every claim granted, in tables that nobody else knows."""
    postgresql = connection.dialect.name == "postgresql"
    for name, condition in _PAIRS.items():
        insert = f"INSERT INTO witness_{name} VALUES (NEW.id, NEW.attempt, NEW.owner)"
        when = f"AFTER UPDATE OF {_COLUMNS[name]} ON executions FOR EACH ROW WHEN ({condition})"
        _run(connection, f"CREATE TABLE witness_{name} (execution_id text, attempt integer, owner text)")
        if postgresql:
            _run(connection, _function(name, f"{insert}; RETURN NULL;"))
            _run(connection, f"CREATE TRIGGER witness_{name} {when} EXECUTE FUNCTION witness_{name}_noted()")
        else:
            _run(connection, f"CREATE TRIGGER witness_{name} {when} BEGIN {insert}; END")


def accepted(connection: sa.Connection) -> list[tuple[str, int, str]]:
    """(execution, attempt, owner) of every result that was accepted."""
    return _all(connection, "accepted")


def granted(connection: sa.Connection) -> list[tuple[str, int, str]]:
    """(execution, attempt, owner) of every claim that was granted."""
    return _all(connection, "granted")


def slow_commits(connection: sa.Connection, seconds: float) -> None:
    """Have every commit that moves an execution from state to state last so long. PostgreSQL only."""
    _run(connection, _function("slow", f"PERFORM pg_sleep({seconds}); RETURN NULL;"))
    _run(
        connection,
        "CREATE CONSTRAINT TRIGGER witness_slow AFTER UPDATE ON executions DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW WHEN (NEW.state <> OLD.state) EXECUTE FUNCTION witness_slow_noted()",
    )


def quick_commits(connection: sa.Connection) -> None:
    """Undo `slow_commits`."""
    _run(connection, "DROP TRIGGER witness_slow ON executions")


def _function(name: str, body: str) -> str:
    head = f"CREATE OR REPLACE FUNCTION witness_{name}_noted() RETURNS trigger LANGUAGE plpgsql AS"
    return f"{head} $$ BEGIN {body} END $$"


def _all(connection: sa.Connection, name: str) -> list[tuple[str, int, str]]:
    rows = connection.exec_driver_sql(f"SELECT execution_id, attempt, owner FROM witness_{name}")
    return [(row[0], row[1], row[2]) for row in rows]


def _run(connection: sa.Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
