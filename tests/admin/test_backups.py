"""A backup made while rows exist is the same installation elsewhere; a damaged one is refused and leaves nothing behind."""

import io
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from migrations.run import upgrade
from noisegate.admin import backups
from noisegate.errors import Conflict, InvalidArchive
from noisegate.spec.derived import Needed, View
from noisegate.store import derived, executions, files, models
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Base, DerivedFile
from tests import factories

Rows = dict[str, list[tuple[object, ...]]]
Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An SQLite installation with a dataset, results and a model, each with its files, and a file that no row names."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("installation") / "data", database_url="")
    sessions, artefacts = open_sessions(settings), Artefacts(settings.artefact_root)
    upgrade(settings.sqlalchemy_url)
    with sessions.begin() as session:
        dataset = factories.stored_dataset(session, artefacts)
        dataset.originals_digest, dataset.originals_index_digest = map(artefacts.put_bytes, (b"originals", b"index"))
        dataset.shared_originals = [artefacts.put_bytes(b"originals of a base that is gone")]
        needed = Needed(View(image_size=16))
        view = derived.ensure(session, dataset, [needed])[needed]
        stored = {"file_digest": artefacts.put_bytes(b"a piece"), "size_bytes": 7}
        session.add(DerivedFile(derived_id=view.id, name="images-0-5", **stored))
        factories.queued_experiment(session, factories.shades_spec(executions=2))
        execution, lease = factories.claim_one(session)
        digests = [artefacts.put_bytes(part) for part in (b"weights", b"json", b"onnx" * 1000)]
        models.register(
            session, execution.id, models.ModelDigests(*digests), factories.manifest(execution), keep="best"
        )
        executions.record_success(session, lease, factories.outcome())
    sessions.close()
    artefacts.put_bytes(b"nobody names this")
    return settings


@pytest.fixture(scope="module")
def backup(installation: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backup") / "noisegate.tar"
    backups.back_up(installation, file)
    return file


@pytest.fixture
def elsewhere(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "deep" / "elsewhere", database_url="")


def _rows(settings: Settings) -> tuple[Rows, set[str]]:
    """All rows, and the files that they name."""
    sessions = open_sessions(settings)
    try:
        with sessions.reading() as session:
            rows = {
                table.name: sorted(map(tuple, session.execute(sa.select(table))), key=repr)
                for table in Base.metadata.sorted_tables
            }
            return rows, files.named(session)
    finally:
        sessions.close()


def test_the_same_rows_and_files_stand_elsewhere(installation: Settings, backup: Path, elsewhere: Settings) -> None:
    backups.restore(elsewhere, backup)
    rows, named = _rows(elsewhere)
    assert (rows, named) == _rows(installation)
    assert rows["models"]
    assert rows["derived_files"]
    contents = {Artefacts(elsewhere.artefact_root).read(digest) for digest in named}
    assert contents >= {b"originals", b"index", b"a piece"}
    assert len(rows["executions"]) == 2
    here, there = Artefacts(installation.artefact_root), Artefacts(elsewhere.artefact_root)
    assert {path.name for path in there.root.rglob("*") if path.is_file()} == named
    for digest in named:
        assert there.read(digest) == here.read(digest)


def test_a_backup_is_its_owners_alone_and_never_overwritten(installation: Settings, backup: Path) -> None:
    assert backup.stat().st_mode & 0o077 == 0
    assert [path.name for path in backup.parent.iterdir()] == ["noisegate.tar"]
    before = backup.read_bytes()
    with pytest.raises(Conflict, match="exists"):
        backups.back_up(installation, backup)
    assert backup.read_bytes() == before
    assert list((installation.artefact_root / "scratch").iterdir()) == []


def test_a_backup_made_in_the_middle_of_work_is_of_one_moment(
    installation: Settings, tmp_path: Path, elsewhere: Settings
) -> None:
    """What another transaction has not committed is not in it; who reads is not kept waiting."""
    sessions = open_sessions(installation)
    with sessions.reading() as reading:
        reading.scalar(sa.select(sa.func.count()).select_from(Base.metadata.tables["models"]))
        backups.back_up(installation, tmp_path / "meanwhile.tar")
    sessions.close()
    backups.restore(elsewhere, tmp_path / "meanwhile.tar")
    assert _rows(elsewhere) == _rows(installation)


def test_a_missing_or_damaged_file_is_no_backup(installation: Settings, tmp_path: Path) -> None:
    _, named = _rows(installation)
    path = Artefacts(installation.artefact_root).path(min(named))
    whole = path.read_bytes()
    try:
        for damage, reason in ((lambda: path.write_bytes(b"rot"), "damaged"), (path.unlink, "missing")):
            damage()
            with pytest.raises(InvalidArchive, match=reason):
                backups.back_up(installation, tmp_path / "new.tar")
            assert list(tmp_path.iterdir()) == []
    finally:
        path.write_bytes(whole)


def _members(file: Path) -> list[Member]:
    with tarfile.open(file) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def _write(file: Path, members: list[Member]) -> None:
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))


def _plain(name: str, content: bytes) -> Member:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def _special(name: str, kind: bytes) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member, b""


def _swapped_byte(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


CHANGES: dict[str, Callable[[list[Member]], list[Member]]] = {
    "a file's bytes": lambda all: [*all[:-1], (all[-1][0], _swapped_byte(all[-1][1]))],
    "the database's bytes": lambda all: [all[0], (all[1][0], _swapped_byte(all[1][1])), *all[2:]],
    "a file is missing": lambda all: all[:-1],
    "a file too many": lambda all: [*all, _plain("artefacts/" + "0" * 64, b"")],
    "a path upwards": lambda all: [*all[:-1], _plain("../../escaped", b"x")],
    "an absolute path": lambda all: [*all[:2], _plain("/tmp/noisegate-escaped", b"x"), *all[2:]],
    "a symbolic link": lambda all: [all[0], _special("noisegate.db", tarfile.SYMTYPE), *all[2:]],
    "a hard link": lambda all: [*all[:-1], _special(all[-1][0].name, tarfile.LNKTYPE)],
    "a device": lambda all: [*all[:-1], _special(all[-1][0].name, tarfile.CHRTYPE)],
    "a file twice": lambda all: [*all, all[-1]],
    "another order": lambda all: [all[1], all[0], *all[2:]],
    "another format": lambda all: [_plain("backup.json", all[0][1].replace(b'"format":1', b'"format":2')), *all[1:]],
    "a name that is no digest": lambda all: [
        _plain("backup.json", all[0][1].replace(b'"files":["', b'"files":["../../../../escaped","')),
        *all[1:],
    ],
    "nothing": lambda _all: [],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_damaged_or_hostile_backup_leaves_nothing(
    backup: Path, tmp_path: Path, elsewhere: Settings, change: Callable[[list[Member]], list[Member]]
) -> None:
    _write(tmp_path / "changed.tar", change(_members(backup)))
    _refused(elsewhere, tmp_path / "changed.tar")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_backup_cut_short_leaves_nothing(backup: Path, tmp_path: Path, elsewhere: Settings, share: float) -> None:
    size = sum(512 + len(content) for _, content in _members(backup))
    (tmp_path / "cut.tar").write_bytes(backup.read_bytes()[: int(share * size)])
    _refused(elsewhere, tmp_path / "cut.tar")


def _refused(settings: Settings, file: Path) -> None:
    with pytest.raises(InvalidArchive):
        backups.restore(settings, file)
    assert list(settings.data_dir.parent.iterdir()) == []


def test_restoring_replaces_nothing(backup: Path, elsewhere: Settings) -> None:
    elsewhere.data_dir.mkdir(parents=True)
    backups.restore(elsewhere, backup)  # an empty directory is what a fresh volume is
    (elsewhere.data_dir / "noisegate.db").write_bytes(b"precious")
    with pytest.raises(Conflict, match="not empty"):
        backups.restore(elsewhere, backup)
    assert (elsewhere.data_dir / "noisegate.db").read_bytes() == b"precious"


def test_the_restored_database_is_whole(backup: Path, elsewhere: Settings) -> None:
    backups.restore(elsewhere, backup)
    with sqlite3.connect(elsewhere.data_dir / "noisegate.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_postgresql_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(Conflict, match="PostgreSQL") as refused:
        backups.back_up(settings, tmp_path / "new.tar")
    assert "pg_dump" in str(refused.value.remedy)
    with pytest.raises(Conflict) as refused:
        backups.restore(settings, tmp_path / "new.tar")
    assert "NOISEGATE_DATABASE_URL" in str(refused.value.remedy)


def test_there_must_be_something_to_back_up(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "mistyped", database_url="")
    with pytest.raises(Conflict, match="no database"):
        backups.back_up(settings, tmp_path / "new.tar")
    assert list(tmp_path.iterdir()) == []
