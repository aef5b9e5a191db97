"""One tar of an SQLite installation: the database, and every file that its rows name.

    backup.json         what is in it, and the database's SHA-256
    noisegate.db        as SQLite's online backup made it
    artefacts/<sha256>  each file under the digest of its bytes

A backup may be made while service and workers run. Under the lock that everyone who writes takes, the database is copied
and each file gets a second name (a hard link); the tar is written after the lock was given back.
"""

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

from pydantic import BaseModel, Field

from noisegate import __version__
from noisegate.disk import storage_errors
from noisegate.errors import Conflict, InvalidArchive
from noisegate.store import files
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import utc_now

_CONTENTS, _DATABASE, _ARTEFACTS = "backup.json", "noisegate.db", "artefacts/"
_MAX_CONTENTS_BYTES = 2**28  # of four million files
_CHUNK_BYTES = 2**20
_BUSY_SECONDS = 30.0
_POSTGRESQL = (
    "Copy the folder {root}/sha256, then run pg_dump, then copy what is new in the folder; "
    "docs/operations.md has the commands."
)


Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Contents(BaseModel):
    """backup.json."""

    format: int = Field(ge=1, le=1)
    version: str
    created_at: str
    database_sha256: Digest
    files: list[Digest]


@dataclass(frozen=True)
class Summary:
    """What a backup holds."""

    version: str
    created_at: str
    files: int
    size_bytes: int


def back_up(settings: Settings, file: Path) -> Summary:
    """Write a backup; `file` is there whole or not at all, readable by its owner alone.

    Raises:
        Conflict: the database is not SQLite, there is none, or `file` exists.
        InvalidArchive: a file that a row names is missing or damaged.
        StorageFull: no room.
    """
    database = database_file(settings)
    if database is None:
        remedy = _POSTGRESQL.format(root=settings.artefact_root)
        raise Conflict("this installation keeps its rows in PostgreSQL", remedy=remedy)
    if settings.artefact_url:
        remedy = "Use versions or replicas of that store, and SQLite's own .backup; docs/operations.md has the steps."
        raise Conflict("this installation keeps its files in a store of their own", remedy=remedy)
    if file.exists():
        raise Conflict(f"{file} exists", remedy="Choose another name; a backup is never overwritten.")
    if not file.absolute().parent.is_dir():
        raise Conflict(f"there is no folder {file.absolute().parent}", remedy="Make it first.")
    artefacts = Artefacts(settings.artefact_root)
    with artefacts.scratch() as folder, _whole(file) as partial, storage_errors():
        digests = _snapshot(settings, artefacts, database, folder)
        contents = Contents(
            format=1,
            version=__version__,
            created_at=utc_now().isoformat(timespec="seconds"),
            database_sha256=artefacts.seal(folder / _DATABASE),
            files=digests,
        )
        with tarfile.open(fileobj=partial, mode="w", format=tarfile.GNU_FORMAT) as tar:
            listed = contents.model_dump_json().encode()
            _add(tar, _CONTENTS, io.BytesIO(listed), len(listed))
            _add_file(tar, _DATABASE, folder / _DATABASE)
            for digest in digests:
                if _add_file(tar, _ARTEFACTS + digest, folder / digest) != digest:
                    raise InvalidArchive(f"the file {digest} is damaged: its bytes have another SHA-256")
    return Summary(contents.version, contents.created_at, len(digests), file.stat().st_size)


def restore(settings: Settings, file: Path) -> Summary:
    """Unpack a backup into the data directory; it is there whole or not at all.

    Raises:
        Conflict: the settings name a database elsewhere, or the data directory is not empty.
        InvalidArchive: it is no backup, or damaged.
        StorageFull: no room.
    """
    target = settings.data_dir.absolute()
    if settings.database_url:
        remedy = "Unset NOISEGATE_DATABASE_URL for this command: a backup is restored into NOISEGATE_DATA_DIR."
        raise Conflict("a backup holds an SQLite database and brings it along", remedy=remedy)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Conflict(f"{target} is not empty", remedy="Name a directory that is, in NOISEGATE_DATA_DIR.")
    with _directory(target) as folder, storage_errors():
        try:
            with file.open("rb") as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
                contents = _unpack(tar, folder)
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            raise InvalidArchive(f"{file} is no backup, or a damaged one ({type(error).__name__})") from error
        _check_database(folder / _DATABASE)
    return Summary(contents.version, contents.created_at, len(contents.files), file.stat().st_size)


def database_file(settings: Settings) -> Path | None:
    """The file of an SQLite installation; None for PostgreSQL.

    Raises:
        Conflict: there should be one, and is not.
    """
    url = settings.sqlalchemy_url
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    if not (database := Path(url.database)).exists():
        raise Conflict(f"there is no database {database}", remedy="NOISEGATE_DATA_DIR says where it is looked for.")
    return database


def _snapshot(settings: Settings, artefacts: Artefacts, database: Path, folder: Path) -> list[str]:
    """The database and the files it names, as they are at one moment, in `folder`; answers the digests."""
    sessions = open_sessions(settings)
    try:
        # Writers wait meanwhile, for a copy and some thousand links; readers do not.
        with sessions.begin() as session:
            files.lock(session)
            digests = sorted(files.named(session))
            _copy_database(database, folder / _DATABASE)
            for digest in digests:
                try:
                    os.link(artefacts.path(digest), folder / digest)
                except FileNotFoundError as error:
                    raise InvalidArchive(f"the file {digest}, which a row names, is missing") from error
    finally:
        sessions.close()
    return digests


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source, timeout=_BUSY_SECONDS)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


def _unpack(tar: tarfile.TarFile, folder: Path) -> Contents:
    """Write the members to names of our own: each must be the one that is due, and a plain file."""
    contents = Contents.model_validate_json(_due(tar, _CONTENTS).read(_MAX_CONTENTS_BYTES))
    if _write(_due(tar, _DATABASE), folder / _DATABASE) != contents.database_sha256:
        raise InvalidArchive("the backup is damaged: its database has another SHA-256")
    artefacts = Artefacts(folder / "artefacts")
    for digest in contents.files:
        path = artefacts.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        if _write(_due(tar, _ARTEFACTS + digest), path) != digest:
            raise InvalidArchive(f"the backup is damaged: the file {digest} has another SHA-256")
    if (more := tar.next()) is not None:
        raise InvalidArchive(f"the backup has a member that it does not list: {more.name[:100]!r}")
    return contents


def _due(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    # tarfile takes a damaged header for the end: it is found out because this member is still due.
    member = tar.next()
    if member is None:
        raise InvalidArchive(f"the backup is damaged: it ends before {name}")
    if member.name != name or member.type != tarfile.REGTYPE or member.pax_headers:
        raise InvalidArchive(f"the backup has {member.name[:100]!r} where the plain file {name} is due")
    content = tar.extractfile(member)
    assert content is not None, "a plain file has content"
    return content


def _write(content: IO[bytes], path: Path) -> str:
    """Write to a new file, safely on the disk; answers the SHA-256."""
    hashed = hashlib.sha256()
    with path.open("xb") as written:
        while chunk := content.read(_CHUNK_BYTES):
            hashed.update(chunk)
            written.write(chunk)
        written.flush()
        os.fsync(written.fileno())
    return hashed.hexdigest()


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> str:
    """Add the file; answers the SHA-256 of the bytes that were added."""
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        opened.seek(0)
        _add(tar, name, opened, path.stat().st_size)
    return digest


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size_bytes: int) -> None:
    # Nothing of this machine goes along: no owner, no mode, no time.
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    tar.addfile(member, content)


def _check_database(path: Path) -> None:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        try:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise InvalidArchive(f"the backup's database cannot be read: {error}") from error
    if found != "ok":
        raise InvalidArchive(f"the backup's database is damaged: {found}")


@contextmanager
def _whole(file: Path) -> Iterator[IO[bytes]]:
    """A file beside `file` that takes its name when the block ends, and is gone when it raises."""
    # One that a temporary file makes is its owner's alone: a database holds the digests of keys.
    partial = tempfile.NamedTemporaryFile(dir=file.absolute().parent, prefix=f".{file.name}.", delete=False)  # noqa: SIM115
    try:
        with partial:
            yield partial
            partial.flush()
            os.fsync(partial.fileno())
        Path(partial.name).replace(file)
    finally:
        Path(partial.name).unlink(missing_ok=True)


@contextmanager
def _directory(target: Path) -> Iterator[Path]:
    """A folder beside `target` that takes its place when the block ends, and is gone when it raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield folder
        folder.rename(target)  # POSIX: over an empty directory, and no other
    except BaseException:
        shutil.rmtree(folder)
        raise
