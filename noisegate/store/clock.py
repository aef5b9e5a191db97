"""The database's clock. Leases are compared with it alone, so no two machines' clocks need to agree."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class seconds_now(sa.sql.functions.GenericFunction[float]):  # noqa: N801 - named like the SQL function it stands for
    """Seconds since 1970 by the database's clock, as it is when the row is touched (not when the transaction began)."""

    type = sa.Double()
    inherit_cache = True


def within(moment: sa.SQLColumnExpression[Any], seconds: float) -> sa.ColumnElement[bool]:
    """True if `moment` is less than `seconds` ago, or ahead.

    A moment further ahead can only have been noted before the clock was put back, and tells nothing of how long ago it was:
    whatever waits for time to pass since then must not wait for minutes that are lived twice.
    """
    return sa.and_(moment > seconds_now() - seconds, moment < seconds_now() + seconds)


@compiles(seconds_now, "postgresql")
def _postgresql(_element: seconds_now, _compiler: SQLCompiler, **_options: object) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(seconds_now, "sqlite")
def _sqlite(_element: seconds_now, _compiler: SQLCompiler, **_options: object) -> str:
    # unixepoch('subsec') needs SQLite 3.42; Julian days carry milliseconds in every version.
    return "((julianday('now') - 2440587.5) * 86400.0)"
