"""Brings a database to the newest revision: `python -m migrations.run`, or `upgrade(url)` from tests."""

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
    engine = create_engine(url)
    with engine.connect() as connection:
        alembic = config()
        alembic.attributes["connection"] = connection
        command.upgrade(alembic, revision)
    engine.dispose()


def main() -> None:
    settings = load_settings()
    open_sessions(settings).close()
    upgrade(settings.sqlalchemy_url)


if __name__ == "__main__":
    main()
