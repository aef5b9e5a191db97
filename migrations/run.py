"""Brings a database to the newest revision: `python -m migrations.run`, or `upgrade(url)` from tests.

`python -m migrations.run --downgrade 0004` takes it back to what an older version of Noisegate works with.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config

from noisegate.store.sessions import create_engine, open_sessions
from noisegate.store.settings import load_settings


def config() -> Config:
    """Alembic's configuration; there is no alembic.ini to find or lose."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent))
    return found


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate the database at `url`; safe to run from several machines at once, and when nothing is to be done."""
    _migrate(command.upgrade, url, revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database at `url` back to an older revision; what only newer ones can keep is lost."""
    _migrate(command.downgrade, url, revision)


def _migrate(step: Callable[[Config, str], None], url: str, revision: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        alembic = config()
        alembic.attributes["connection"] = connection
        step(alembic, revision)
    engine.dispose()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m migrations.run")
    parser.add_argument("--downgrade", metavar="REVISION", help="back to this one; by default forward to the newest")
    revision: str | None = parser.parse_args().downgrade
    settings = load_settings()
    open_sessions(settings).close()
    if revision is None:
        upgrade(settings.sqlalchemy_url)
    else:
        downgrade(settings.sqlalchemy_url, revision)


if __name__ == "__main__":
    main()
