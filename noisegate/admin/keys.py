"""`noisegate keys`: API keys, made and revoked on the database that NOISEGATE_DATABASE_URL or NOISEGATE_DATA_DIR names.

No service is asked: the first key must come from somewhere, and access to the database is access to everything.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from cyclopts import App, Parameter
from sqlalchemy.orm import Session

from noisegate.admin.installation import installation
from noisegate.client.output import Json, print_object
from noisegate.client.show import console_for
from noisegate.client.tables import table_of
from noisegate.errors import InvalidInput
from noisegate.store import keys
from noisegate.store.keys import Scope
from noisegate.store.sessions import open_sessions
from noisegate.store.tables import ApiKey

DEFAULT_SCOPES = "read,classify,train"

keys_app = App(name="keys", help="Make, list and revoke API keys, on the database itself.")


@keys_app.command
def create(
    *,
    owner: str,
    scopes: str = DEFAULT_SCOPES,
    days: float | None = None,
    note: Annotated[str, Parameter()] = "",
    json: Json = False,
) -> None:
    """Make a key and print it, once: it cannot be shown again.

    Args:
        owner: whose rows it sees, and who owns what it makes; keys of one owner share them.
        scopes: of read, classify, train, admin, with commas between them; admin may everything and sees all owners' rows.
        days: how long it is valid; without it, until it is revoked.
        note: what it is for.
    """
    with _transaction() as session:
        token, row = keys.create(session, owner=owner, scopes=_scopes(scopes), days=days, note=note)
        told = _document(row)
    if json:
        print_object({"key": token, **told})
    else:
        print(token)


@keys_app.command(name="list")
def list_keys(*, json: Json = False) -> None:
    """Every key, without its secret."""
    table = table_of("owner", "scopes", "made", "state", "note", id="id")
    with _transaction() as session:
        for row in keys.every(session):
            if json:
                print_object(_document(row))
            table.add_row(row.id, row.owner, ", ".join(row.scopes), f"{row.created_at:%F %T}Z", _state(row), row.note)
    if not json:
        console_for().print(table)


@keys_app.command
def revoke(id: str, *, json: Json = False) -> None:
    """Close a key for good; services notice within a second.

    Args:
        id: the part of the key between its two underscores.
    """
    with _transaction() as session:
        row = keys.revoke(session, id)
        if json:
            print_object(_document(row))
        else:
            print(f"{row.id} of {row.owner} opens nothing any more.")


def _document(row: ApiKey) -> dict[str, object]:
    """A key without its secret."""
    moments = {name: getattr(row, name) for name in ("created_at", "expires_at", "revoked_at")}
    return {
        "id": row.id,
        "owner": row.owner,
        "scopes": list(row.scopes),
        **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
        "note": row.note,
    }


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
