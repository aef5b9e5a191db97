"""What `noisegate gc` removes, what it leaves alone, and that a dry run changes nothing."""

import os
import time
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa

from noisegate.admin import cleaning
from noisegate.spec.derived import Needed, View
from noisegate.store import datasets, derived, idempotency, ingestions
from noisegate.store.artefacts import Artefacts
from noisegate.store.clock import seconds_now
from noisegate.store.remote import RemoteArtefacts
from noisegate.store.sessions import Sessions
from noisegate.store.states import DerivedState
from noisegate.store.tables import Dataset, Derived, DerivedFile, IdempotencyKey, utc_now
from tests import factories

HOUR, DAY = 3600.0, 86_400.0
BOUNDS = cleaning.Bounds(files=HOUR, scratch=DAY, failed_datasets=DAY, derived=7 * DAY, unused_datasets=30 * DAY)


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    return Artefacts(tmp_path / "artefacts")


def _age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def _failed(session: sa.orm.Session, name: str, age: float) -> str:
    waiting = datasets.register(session, name=name, source="upload", image_size=32, upload_digest="f" * 64).dataset
    claimed = ingestions.claim(session, waiting.id, owner="factory", lease_seconds=30)
    assert claimed is not None
    ingestions.record_failed(session, claimed[1], factories.failure("invalid-archive"))
    _set_age(session, waiting.id, age)
    return waiting.id


def _set_age(session: sa.orm.Session, dataset_id: str, age: float) -> None:
    session.execute(
        sa.update(Dataset).where(Dataset.id == dataset_id).values(finished_at=utc_now() - timedelta(seconds=age))
    )


def _key(session: sa.orm.Session, name: str, expires_in: float) -> None:
    keyed = idempotency.Keyed("POST /experiments", name, "0" * 64)
    reserved = idempotency.reserve(session, keyed, lease_seconds=10, keep_seconds=HOUR)
    assert isinstance(reserved, idempotency.Reservation)
    idempotency.answer(session, reserved, idempotency.StoredAnswer(202, {}, "x" * 50))
    session.execute(
        sa.update(IdempotencyKey).where(IdempotencyKey.key == name).values(expires=seconds_now() + expires_in)
    )


@pytest.fixture
def lived_in(sessions: Sessions, artefacts: Artefacts) -> set[str]:
    """Old and young, used and unused of every kind; answers the ids of the datasets that must stay."""
    with sessions.begin() as session:
        used = factories.stored_dataset(session, artefacts, "used")
        used.originals_digest, used.originals_index_digest = (
            artefacts.put_bytes(b"originals"),
            artefacts.put_bytes(b"index"),
        )
        factories.queued_experiment(session, factories.spec("used", image_size=8))
        factories.queued_experiment(session, factories.spec("used", image_size=16))
        _view(session, used, 16, artefacts, b"a view that waiting executions need", 8 * DAY)
        _view(session, used, 24, artefacts, b"a view used lately", 6 * DAY)
        _view(session, used, 32, artefacts, b"a view unused for long", 8 * DAY)
        failed = _view(session, used, 40, artefacts, b"a piece", 0)
        failed.state = DerivedState.FAILED
        digests = [artefacts.put_bytes(b"images" * 100), artefacts.put_bytes(b"labels")]
        unused = factories.ready_dataset(session, "unused", number=2)
        unused.images_digest, unused.labels_digest = digests
        young = factories.ready_dataset(session, "young", number=3)
        session.flush()
        for dataset in (used, unused):
            _set_age(session, dataset.id, 31 * DAY)
        _failed(session, "long ago", 2 * DAY)
        recent = _failed(session, "just now", 0)
        _key(session, "old", -1)
        _key(session, "new", HOUR)
    for digest in sorted(_stored(artefacts)):
        _age(artefacts.path(digest), 2 * HOUR)
    _age(artefacts.path(artefacts.put_bytes(b"orphan" * 10)), 2 * HOUR)
    artefacts.put_bytes(b"about to be entered")
    for name, age in (("killed", 2 * DAY), ("at work", 0)):
        folder = artefacts.root / "scratch" / name
        folder.mkdir()
        (folder / "part").write_bytes(b"half")
        _age(folder / "part", age)
        _age(folder, age)
    return {used.id, young.id, recent}


def _view(
    session: sa.orm.Session, dataset: Dataset, size: int, artefacts: Artefacts, content: bytes, age: float
) -> Derived:
    """A view that is ready, and was used so long ago."""
    needed = Needed(View(image_size=size))
    row = derived.ensure(session, dataset, [needed])[needed]
    row.state, row.used_at = DerivedState.READY, utc_now() - timedelta(seconds=age)
    session.flush()
    digest = artefacts.put_bytes(content)
    _age(artefacts.path(digest), 2 * HOUR)
    session.add(DerivedFile(derived_id=row.id, name="images.npy", file_digest=digest, size_bytes=len(content)))
    return row


def _stored(artefacts: Artefacts) -> set[str]:
    return {path.name for path in (artefacts.root / "sha256").glob("??/*")}


def _all(sessions: Sessions, artefacts: Artefacts) -> tuple[set[str], set[str], set[str], set[str]]:
    """Ids of datasets, names of keys, digests of files, names of scratch folders."""
    with sessions.reading() as session:
        rows = set(session.scalars(sa.select(Dataset.id)))
        keys = set(session.scalars(sa.select(IdempotencyKey.key)))
    return rows, keys, _stored(artefacts), {path.name for path in (artefacts.root / "scratch").iterdir()}


EXPECTED = {
    "failed datasets": (1, 0),
    "unused datasets": (1, 606),
    "derived artefacts": (2, 29),
    "files without a row": (1, 60),
    "half-written files": (1, 4),
    "expired idempotency keys": (1, 50),
}


def test_what_nobody_needs_goes_and_all_else_stays(
    sessions: Sessions, artefacts: Artefacts, lived_in: set[str]
) -> None:
    before = _all(sessions, artefacts)
    said = list(cleaning.clean(sessions, artefacts, BOUNDS, dry_run=True))
    assert {removed.kind: (removed.count, removed.size_bytes) for removed in said} == EXPECTED
    assert _all(sessions, artefacts) == before

    assert list(cleaning.clean(sessions, artefacts, BOUNDS)) == said
    rows, keys, stored, scratch = _all(sessions, artefacts)
    assert (rows, keys, scratch) == (lived_in, {"new"}, {"at work"})
    contents = {b"images" * 100, b"labels", b"orphan" * 10, b"a view unused for long", b"a piece"}
    assert before[2] - stored == {sha256(content).hexdigest() for content in contents}
    assert all(not removed.count for removed in cleaning.clean(sessions, artefacts, BOUNDS))


def test_ready_datasets_stay_unless_asked_for(sessions: Sessions, artefacts: Artefacts, lived_in: set[str]) -> None:
    bounds = cleaning.Bounds(files=HOUR, scratch=DAY, failed_datasets=DAY, derived=7 * DAY)
    kinds = [removed.kind for removed in cleaning.clean(sessions, artefacts, bounds)]
    assert "unused datasets" not in kinds
    with sessions.reading() as session:
        assert datasets.get(session, "unused").images_digest in _stored(artefacts)


def test_a_second_name_given_lately_keeps_a_dataset(sessions: Sessions, artefacts: Artefacts) -> None:
    with sessions.begin() as session:
        first = factories.ready_dataset(session, "first")
        _set_age(session, first.id, 31 * DAY)
        again = datasets.register(
            session, name="again", source="upload", image_size=32, upload_digest=first.upload_digest
        )
        assert not again.created
    assert [removed.count for removed in cleaning.clean(sessions, artefacts, BOUNDS)] == [0] * 6
    with sessions.reading() as session:
        assert datasets.get(session, "again").id == first.id


def test_a_file_that_two_datasets_name_is_freed_by_the_last(sessions: Sessions, artefacts: Artefacts) -> None:
    shared = artefacts.put_bytes(b"labels of both")
    with sessions.begin() as session:
        old, new = (factories.ready_dataset(session, name, number=n) for n, name in enumerate(("old", "new"), 1))
        old.labels_digest = new.labels_digest = shared
        session.flush()
        _set_age(session, old.id, 31 * DAY)
    removed = {found.kind: found for found in cleaning.clean(sessions, artefacts, BOUNDS)}
    assert (removed["unused datasets"].count, removed["unused datasets"].size_bytes) == (1, 0)
    assert artefacts.path(shared).exists()


def test_files_that_machines_share_are_measured_where_they_lie(sessions: Sessions, tmp_path: Path) -> None:
    shared = RemoteArtefacts(tmp_path / "cache", f"file://{tmp_path / 'bucket'}", cache_bytes=0)
    digest = shared.put_bytes(b"orphan" * 10)
    shared.path(digest).unlink(missing_ok=True)
    (object_,) = (path for path in (tmp_path / "bucket").rglob("*") if path.is_file())
    _age(object_, 2 * HOUR)
    removed = {found.kind: found for found in cleaning.clean(sessions, shared, BOUNDS)}
    assert (removed["files without a row"].count, removed["files without a row"].size_bytes) == (1, 60)
    assert shared.size_bytes(digest) == 0
