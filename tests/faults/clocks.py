"""Clocks that step: the database's own, and the wall clock of one worker."""

import shutil
import struct
import subprocess
from pathlib import Path

import sqlalchemy as sa

_SHIM = Path(__file__).with_name("clock_shim.c")

# A schema named before pg_catalog wins: the product's SQL stays as it is, and a step is one UPDATE.
_SKEW = (
    "CREATE SCHEMA skew",
    "CREATE TABLE skew.clock (step interval NOT NULL)",
    "INSERT INTO skew.clock VALUES (interval '0')",
    "CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
    "'SELECT pg_catalog.clock_timestamp() + (SELECT step FROM skew.clock)'",
)


def install_skew(url: str) -> None:
    """Let the clock of the PostgreSQL database at `url` be moved; connections made from now on see it."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in (*_SKEW, f"ALTER DATABASE {engine.url.database} SET search_path = skew, pg_catalog, public"):
            connection.exec_driver_sql(statement)
    engine.dispose()


def step_skew(connection: sa.Connection, seconds: float) -> None:
    """Put the database's clock so far from the true time."""
    connection.execute(sa.text("UPDATE skew.clock SET step = make_interval(secs => :seconds)"), {"seconds": seconds})


def build_shim(folder: Path) -> Path | None:
    """The library that moves a process's wall clock; None where there is no C compiler."""
    if (compiler := shutil.which("cc")) is None:
        return None
    library = folder / "clock_shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SHIM), "-ldl"], check=True)
    return library


def set_offset(file: Path, seconds: float) -> None:
    """Move the clock of whoever was started with this file."""
    if not file.exists():
        file.write_bytes(bytes(8))
    with file.open("r+b", buffering=0) as opened:
        opened.write(struct.pack("q", round(seconds * 1e9)))
