"""Removing what is no longer needed: `noisegate gc`. Each step says what it removed, or what it would remove."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from noisegate.disk import files_below
from noisegate.errors import Conflict, NotFound
from noisegate.store import datasets, derived, files, idempotency
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.states import DatasetState, DerivedState
from noisegate.store.tables import Dataset, Derived, DerivedFile, Experiment, IdempotencyKey, utc_now


@dataclass(frozen=True)
class Bounds:
    """Ages in seconds after which a thing may go."""

    files: float
    scratch: float
    failed_datasets: float
    derived: float
    unused_datasets: float | None = None  # None: they stay


@dataclass(frozen=True)
class Removed:
    """A count of one kind, and the bytes it took, of files, or of stored answers where the kind is keys."""

    kind: str
    count: int
    size_bytes: int


def clean(sessions: Sessions, artefacts: Artefacts, bounds: Bounds, *, dry_run: bool = False) -> Iterator[Removed]:
    """Remove, kind by kind, what is older than its bound; a dry run removes nothing and answers the same."""
    yield _failed_datasets(sessions, artefacts, bounds.failed_datasets, dry_run)
    if bounds.unused_datasets is not None:
        yield _unused_datasets(sessions, artefacts, bounds.unused_datasets, dry_run)
    yield _derived(sessions, artefacts, bounds.derived, dry_run)
    yield _orphans(sessions, artefacts, bounds.files, dry_run)
    yield _scratch(artefacts, bounds.scratch, dry_run)
    yield _idempotency_keys(sessions, dry_run)


def _failed_datasets(sessions: Sessions, artefacts: Artefacts, older_than: float, dry_run: bool) -> Removed:
    old = sa.and_(Dataset.state == DatasetState.FAILED, Dataset.finished_at < utc_now() - timedelta(seconds=older_than))
    return _datasets(sessions, artefacts, "failed datasets", old, dry_run)


def _unused_datasets(sessions: Sessions, artefacts: Artefacts, older_than: float, dry_run: bool) -> Removed:
    """Those that no experiment uses under any of their names. The bundled digits stay: a service that starts brings them back."""
    deadline = utc_now() - timedelta(seconds=older_than)
    other = aliased(Dataset)
    named_since = sa.exists().where(other.same_as == Dataset.id, other.finished_at >= deadline)
    which = sa.and_(
        Dataset.state == DatasetState.READY,
        Dataset.same_as.is_(None),
        Dataset.source != "digits",
        Dataset.finished_at < deadline,
        ~named_since,
    )
    return _datasets(sessions, artefacts, "unused datasets", which, dry_run)


def _datasets(
    sessions: Sessions, artefacts: Artefacts, kind: str, which: sa.ColumnElement[bool], dry_run: bool
) -> Removed:
    name = aliased(Dataset)
    in_use = sa.select(sa.func.coalesce(name.same_as, name.id)).join(Experiment, Experiment.dataset_id == name.id)
    unused = Dataset.id.not_in(in_use)
    with sessions.reading() as session:
        found = session.scalars(sa.select(Dataset).where(which, unused).order_by(Dataset.id)).all()
        theirs = {row.id: row.digests + _made_of(session, row) for row in found}
        needed = files.originals_of_others(session, theirs.keys())
    if not dry_run:
        theirs = {id: digests for id, digests in theirs.items() if _deleted(sessions, id, which)}
    digests = list(dict.fromkeys(digest for some in theirs.values() for digest in some))
    # Measured before they go. In a dry run two datasets that name one file are taken for its only owners, but for originals: a
    # version shares those of its base, which may be most of what there is.
    size = sum(artefacts.size_bytes(digest) for digest in digests if digest not in needed or not dry_run)
    if not dry_run:
        gone = set(files.discard(sessions, artefacts, digests))
        size -= sum(artefacts.size_bytes(digest) for digest in digests if digest not in gone)
    return Removed(kind, len(theirs), size)


def _made_of(session: Session, dataset: Dataset) -> list[str]:
    query = sa.select(DerivedFile.file_digest).join(Derived, Derived.id == DerivedFile.derived_id)
    return list(session.scalars(query.where(Derived.dataset_id == dataset.id)))


def _deleted(sessions: Sessions, dataset_id: str, which: sa.ColumnElement[bool]) -> bool:
    """Whether it could go; False where someone has posted an experiment on it, sent it again or deleted it, since we looked."""
    try:
        with sessions.begin() as session:
            if session.scalar(sa.select(Dataset.id).where(Dataset.id == dataset_id, which)) is None:
                return False
            datasets.delete(session, dataset_id)
    except (NotFound, Conflict, IntegrityError):
        return False
    return True


def _derived(sessions: Sessions, artefacts: Artefacts, older_than: float, dry_run: bool) -> Removed:
    """What was made of datasets, can be made again, and nothing that is under way needs: unused for long, or failed."""
    deadline = utc_now() - timedelta(seconds=older_than)
    unused = sa.and_(Derived.state != DerivedState.RUNNING, Derived.used_at < deadline)
    which = sa.or_(Derived.state == DerivedState.FAILED, unused)
    with sessions.reading() as session:
        found = session.scalars(sa.select(Derived.id).where(which, ~derived.is_used()).order_by(Derived.id)).all()
        columns = (DerivedFile.file_digest, DerivedFile.size_bytes)
        rows = session.execute(sa.select(*columns).where(DerivedFile.derived_id.in_(found)))
        sizes = {row.file_digest: row.size_bytes for row in rows}
    if dry_run:
        return Removed("derived artefacts", len(found), sum(sizes.values()))
    with sessions.begin() as session:
        dropped = derived.drop(session, sa.and_(Derived.id.in_(found), which))
    gone = files.discard(sessions, artefacts, dropped.digests)
    return Removed("derived artefacts", len(dropped.ids), sum(sizes.get(digest, 0) for digest in gone))


def _orphans(sessions: Sessions, artefacts: Artefacts, older_than: float, dry_run: bool) -> Removed:
    digests = files.orphans(sessions, artefacts, older_than)
    sizes = {digest: artefacts.size_bytes(digest) for digest in digests}
    gone: Sequence[str] = digests if dry_run else files.discard(sessions, artefacts, digests)
    return Removed("files without a row", len(gone), sum(sizes[digest] for digest in gone))


def _scratch(artefacts: Artefacts, older_than: float, dry_run: bool) -> Removed:
    folders = artefacts.scratch_leftovers(older_than)
    size = sum(_size(path) for folder in folders for path in files_below(folder))
    gone = [folder.name for folder in folders] if dry_run else artefacts.sweep_scratch(older_than)
    return Removed("half-written files", len(gone), size)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # a worker sweeps, too


def _idempotency_keys(sessions: Sessions, dry_run: bool) -> Removed:
    with sessions.reading() if dry_run else sessions.begin() as session:
        removed = _expired_keys(session)
        if not dry_run:
            idempotency.forget(session)
    return removed


def _expired_keys(session: Session) -> Removed:
    # Answers are JSON in ASCII, or nearly: characters stand for bytes.
    size = sa.func.coalesce(sa.func.sum(sa.func.length(IdempotencyKey.body)), 0)
    count, characters = session.execute(sa.select(sa.func.count(), size).where(idempotency.expired())).one()
    return Removed("expired idempotency keys", count, int(characters))
