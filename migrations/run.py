"""Brings a database to the newest revision: `python -m migrations.run`, or `upgrade(url)` from tests.

`python -m migrations.run --downgrade 0004` takes it back to what an older version of Noisegate works with.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from migrations.revisions import NEWEST, revision_of
from noisegate.later import Later
from noisegate.logs import configure_logs
from noisegate.store.sessions import create_engine, open_sessions
from noisegate.store.settings import load_settings

if TYPE_CHECKING:
    from alembic import command
    from alembic.config import Config
else:
    command = Later("alembic.command")

log = structlog.get_logger(__name__)


def config() -> Config:
    """Alembic's configuration; there is no alembic.ini to find or lose."""
    found: Config = resolve_name("alembic.config:Config")()
    found.set_main_option("script_location", str(Path(__file__).parent))
    return found


def upgrade(url: str | sa.URL, revision: str = "head") -> None:
    """Migrate the database at `url`; safe to run from several machines at once, and when nothing is to be done."""
    _migrate(command.upgrade, url, revision)


def downgrade(url: str | sa.URL, revision: str) -> None:
    """Take the database at `url` back to an older revision; what only newer ones can keep is lost."""
    _migrate(command.downgrade, url, revision)


def _migrate(step: Callable[[Config, str], None], url: str | sa.URL, revision: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        alembic = config()
        alembic.attributes["connection"] = connection
        step(alembic, revision)
    engine.dispose()


def current(url: str | sa.URL) -> str | None:
    """The revision that the database at `url` has; None for an empty one."""
    engine = create_engine(url)
    revision = revision_of(engine)
    engine.dispose()
    return revision


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m migrations.run")
    parser.add_argument("--downgrade", metavar="REVISION", help="back to this one; by default forward to the newest")
    revision: str | None = parser.parse_args().downgrade
    settings = load_settings()
    configure_logs(settings.log_format)
    open_sessions(settings).close()
    before = current(settings.sqlalchemy_url)
    if revision is None and before != NEWEST:
        upgrade(settings.sqlalchemy_url)
    elif revision is not None:
        downgrade(settings.sqlalchemy_url, revision)
    # To go back, one needs to know from where.
    log.info("migrated", before=before, now=current(settings.sqlalchemy_url))


if __name__ == "__main__":
    main()
