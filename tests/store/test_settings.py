"""Passwords from files, put into the URLs that need them and shown nowhere else."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from migrations.run import current, upgrade
from noisegate.store.settings import Settings

PASSWORD = "p@ss/w:rd%é"  # what a URL must quote


def _file(folder: Path, content: str) -> Path:
    file = folder / "password"
    file.write_text(content)
    return file


def test_a_password_comes_from_its_file(tmp_path: Path) -> None:
    file = _file(tmp_path, f"{PASSWORD}\n")
    settings = Settings(
        database_url="postgresql+psycopg://noisegate@database:5432/noisegate?sslmode=require",
        database_password_file=file,
        broker_url="redis://broker:6379/0",
        broker_password_file=file,
    )
    url = settings.sqlalchemy_url
    assert (url.username, url.password, url.host, url.port) == ("noisegate", PASSWORD, "database", 5432)
    assert (url.database, url.query) == ("noisegate", {"sslmode": "require"})
    assert sa.make_url(settings.celery_broker_url).password == PASSWORD
    assert PASSWORD not in repr(settings)


def test_without_a_file_urls_stay_as_they_are() -> None:
    settings = Settings(database_url="postgresql://u:p@h/d", broker_url="redis+socket:///run/broker.sock")
    assert settings.sqlalchemy_url == sa.make_url("postgresql://u:p@h/d")
    assert settings.celery_broker_url == "redis+socket:///run/broker.sock"


@pytest.mark.parametrize("name", ["what?x=1", "100%", "a#b", "a b", "ü", "file:x?mode=memory"])
def test_the_database_lies_in_the_data_directory_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    url = Settings(data_dir=folder).sqlalchemy_url
    upgrade(url)
    assert [file.name for file in folder.iterdir()] == ["noisegate.db"]
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert current(url) is not None


@pytest.mark.parametrize(
    ("content", "url"),
    [
        (" \n", "postgresql://u@h/d"),
        ("x", "postgresql://u:p@h/d"),
        ("x", "sqlite:////data/x.db"),
    ],
    ids=["empty file", "two passwords", "no host"],
)
def test_a_missing_or_second_password_is_refused(tmp_path: Path, content: str, url: str) -> None:
    settings = Settings(database_url=url, database_password_file=_file(tmp_path, content))
    with pytest.raises(ValueError, match="password"):
        _ = settings.sqlalchemy_url
