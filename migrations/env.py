"""Alembic's entry: migrates the database that the settings name, or the connection handed over by `migrations.run`."""

from typing import Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from noisegate.store.sessions import create_engine
from noisegate.store.settings import load_settings
from noisegate.store.tables import Base, UtcDateTime

# Any number: all migrations of this project take the same lock, so that several starting machines wait for each other.
_ADVISORY_LOCK = 6_075_310


def _render_item(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Migrations name plain types only: they must still run when ours have changed."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def _migrate(connection: sa.Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        # Batch operations copy and drop tables; foreign keys would follow the drop. It has no effect within a transaction,
        # so it goes past SQLAlchemy, which would begin one.
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys=OFF")
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        render_item=_render_item,
        compare_type=True,
        transactional_ddl=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        if not sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        context.run_migrations()


given: sa.Connection | sa.Engine | None = context.config.attributes.get("connection")
if isinstance(given, sa.Connection):
    _migrate(given)
else:
    engine = given or create_engine(load_settings().sqlalchemy_url)
    with engine.connect() as opened:
        _migrate(opened)
    if given is None:
        engine.dispose()
