"""Which revision a database has, without loading Alembic: asked at every start, where there is mostly nothing to migrate."""

import time
from pathlib import Path

import sqlalchemy as sa
import structlog

log = structlog.get_logger(__name__)

NEWEST = max(file.name.partition("_")[0] for file in Path(__file__).with_name("versions").glob("[0-9]*.py"))

_LIMIT_SECONDS = 60
_POLL_SECONDS = 0.05
_TABLE = sa.table("alembic_version", sa.column("version_num"))


def revision_of(engine: sa.Engine) -> str | None:
    """The revision that the database has; None for an empty one."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(_TABLE.name):
            return None
        found: str | None = connection.scalar(sa.select(_TABLE.c.version_num))
        return found


def await_migration(engine: sa.Engine) -> None:
    """Return once the database has the newest revision, or a newer one: what migrates it may have been started beside this.

    After a minute it returns all the same; what then asks for tables that are missing says so.

    Raises:
        SQLAlchemyError: the database is away.
    """
    deadline = time.monotonic() + _LIMIT_SECONDS
    while (found := revision_of(engine) or "") < NEWEST:
        if time.monotonic() > deadline:
            log.warning("not_migrated", revision=found, wanted=NEWEST)
            return
        time.sleep(_POLL_SECONDS)
