"""`noisegate keys`: API keys, made and revoked on the database that NOISEGATE_DATABASE_URL or NOISEGATE_DATA_DIR names.

No service is asked: the first key must come from somewhere, and access to the database is access to everything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session

from noisegate.admin.installation import installation
from noisegate.errors import InvalidInput
from noisegate.store import keys
from noisegate.store.keys import Scope
from noisegate.store.sessions import open_sessions
from noisegate.store.tables import ApiKey

DEFAULT_SCOPES = "read,classify,train"

keys_app = App(name="keys", help="Make, list and revoke API keys, on the database itself.")


@keys_app.command
def create(
    *, owner: str, scopes: str = DEFAULT_SCOPES, days: float | None = None, note: Annotated[str, Parameter()] = ""
) -> None:
    """Make a key and print it, once: it cannot be shown again.

    Args:
        owner: whose rows it sees, and who owns what it makes; keys of one owner share them.
        scopes: of read, classify, train, admin, with commas between them; admin may everything and sees all owners' rows.
        days: how long it is valid; without it, until it is revoked.
        note: what it is for.
    """
    with _transaction() as session:
        token, _row = keys.create(session, owner=owner, scopes=_scopes(scopes), days=days, note=note)
    print(token)


@keys_app.command(name="list")
def list_keys() -> None:
    """Every key, without its secret."""
    table = Table("id", "owner", "scopes", "made", "state", "note")
    with _transaction() as session:
        for row in keys.every(session):
            table.add_row(row.id, row.owner, ",".join(row.scopes), f"{row.created_at:%F %T}Z", _state(row), row.note)
    Console().print(table)


@keys_app.command
def revoke(id: str) -> None:
    """Close a key for good; services notice within a second.

    Args:
        id: the part of the key between its two underscores.
    """
    with _transaction() as session:
        row = keys.revoke(session, id)
        print(f"{row.id} of {row.owner} opens nothing any more.")


@contextmanager
def _transaction() -> Iterator[Session]:
    with installation() as settings, open_sessions(settings).begin() as session:
        yield session


def _scopes(listed: str) -> set[Scope]:
    try:
        return {Scope(name.strip()) for name in listed.split(",") if name.strip()}
    except ValueError as error:
        known = ", ".join(scope.value for scope in Scope)
        raise InvalidInput(f"{error}", field="scopes", remedy=f"Choose of {known}.") from error


def _state(row: ApiKey) -> str:
    if row.revoked_at:
        return "revoked"
    return f"until {row.expires_at:%F %T}Z" if row.expires_at else "open"
