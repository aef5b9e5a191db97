"""Engines and transactions: `with sessions.begin()` writes and commits at its end, `with sessions.reading()` only reads.

Sessions of an owner see only their own rows and shared ones, change and delete only their own, whatever a query asks for, and
what they add is theirs. So a query that forgets whose rows it may see, or change, cannot be written.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection as SqliteConnection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, sessionmaker, with_loader_criteria
from sqlalchemy.pool import ConnectionPoolEntry

from noisegate.errors import NotYours
from noisegate.store.settings import Settings
from noisegate.store.tables import NOBODY, Owned

# Execution option of a query that must see all rows, such as: does anybody still need this file?
OF_ALL_OWNERS = "noisegate_of_all_owners"

_OWNER, _SEES_ALL = "owner", "sees_all"
_READING = "noisegate_reading"
# A database host that vanishes without a word is noticed in seconds, not after the kernel's quarter of an hour.
_POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    # The server does likewise for us: a process that is frozen in the middle of a transaction, or whose machine is gone, must
    # not keep its locks from the others for longer than a lease lasts.
    "options": "-c idle_in_transaction_session_timeout=15s -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5"
    " -c tcp_keepalives_count=3",
}


class OwnedSession(Session):
    """A session that knows for whom it works."""


class Sessions:
    """Opens transactions on one database."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._info: dict[str, Any] = {_OWNER: NOBODY, _SEES_ALL: True}
        self._write = sessionmaker(engine, expire_on_commit=False, class_=OwnedSession)
        reading: dict[str, Any] = {_READING: True}
        if engine.dialect.name == "postgresql":
            reading |= {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
        self._read = sessionmaker(engine.execution_options(**reading), expire_on_commit=False, class_=OwnedSession)

    def of(self, owner: str, *, sees_all: bool = False) -> "Sessions":
        """The same database for one owner: what is added belongs to it; unless it `sees_all`, other owners' rows do not exist."""
        theirs = copy.copy(self)
        theirs._info = {_OWNER: owner, _SEES_ALL: sees_all}
        return theirs

    @contextmanager
    def begin(self, *, dry_run: bool = False) -> Iterator[Session]:
        """A transaction that commits when the block ends and rolls back when it raises; with `dry_run` it rolls back either way."""
        with self._write(info=self._info) as session, session.begin() as transaction:
            yield session
            if dry_run:
                transaction.rollback()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._read(info=self._info) as session:
            yield session

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


@sa.event.listens_for(OwnedSession, "do_orm_execute")
def _see_own_rows(state: ORMExecuteState) -> None:
    info = state.session.info
    if info[_SEES_ALL] or state.execution_options.get(OF_ALL_OWNERS) or state.is_relationship_load or state.is_insert:
        return
    # Shared rows are seen by all owners; changing them takes a session that sees all.
    owners = [info[_OWNER]] if state.is_update or state.is_delete else [info[_OWNER], NOBODY]
    criteria = with_loader_criteria(Owned, lambda kind: kind.owned_by.in_(owners), include_aliases=True)
    state.statement = state.statement.options(criteria)


@sa.event.listens_for(OwnedSession, "before_flush")
def _own_new_rows(session: Session, _context: UOWTransaction, _instances: object) -> None:
    for row in session.new:
        if isinstance(row, Owned) and row.owned_by is None:
            row.owned_by = session.info[_OWNER]
    changed = (row for row in session.dirty if session.is_modified(row, include_collections=False))
    for row in (*changed, *session.deleted):
        if isinstance(row, Owned):
            require_own(session, row)


def require_own(session: Session, row: Owned) -> None:
    """To be asked before what belongs to a row is changed; changes of the row itself are refused without it.

    Raises:
        NotYours: it is shared, and this session does not see all owners.
    """
    if not may_change(session, row):
        remedy = "Use a key with the scope admin, or make one of your own."
        raise NotYours("it is a shared resource: made without a key, or part of the server", remedy=remedy)


def may_change(session: Session, row: Owned) -> bool:
    """Whether the row is this session's owner's, or its owner sees all."""
    return sees_all(session) or row.owned_by == session.info[_OWNER]


def sees_all(session: Session) -> bool:
    """Whether rows of every owner exist for this session."""
    return bool(session.info[_SEES_ALL])


def own_first(session: Session, kind: type[Owned]) -> sa.ColumnElement[int]:
    """To order by: of rows with one name, first that of the session's owner, then shared ones, then those of others."""
    return sa.case((kind.owned_by == session.info[_OWNER], 0), (kind.owned_by == NOBODY, 1), else_=2)


def own_or_nobodys(session: Session, kind: type[Owned]) -> sa.ColumnElement[bool]:
    """What this session's owner would see if it did not see all: a name is taken, and a thing known, only among these."""
    return kind.owned_by.in_([session.info[_OWNER], NOBODY])


def open_sessions(settings: Settings) -> Sessions:
    """The database that `settings` name; the folder of an SQLite file is made if it is missing."""
    if not settings.database_url:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    return Sessions(create_engine(settings.sqlalchemy_url))


def create_engine(url: str | sa.URL) -> sa.Engine:
    """An engine for SQLite or PostgreSQL, set up for several processes at once."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True, connect_args=_POSTGRESQL)
    engine = sa.create_engine(url)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: SqliteConnection, _record: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions of its own: ours say whether they write.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A deferred transaction that reads first and writes later fails at once when another wrote in between.
    reading = connection.get_execution_options().get(_READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
