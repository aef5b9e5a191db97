"""Ingestion of datasets: rows claimed by a worker and filled, or failed, given back, or lost and taken away."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.dataset_report import DatasetReport
from noisegate.api.duplicates import Duplicates
from noisegate.api.problems import Failure
from noisegate.spec.formats import FORMAT
from noisegate.store import dataset_names, leases
from noisegate.store.clock import seconds_now
from noisegate.store.datasets import followed
from noisegate.store.json_columns import readable
from noisegate.store.leases import Lease
from noisegate.store.states import DatasetState
from noisegate.store.tables import NOBODY, Dataset, utc_now

# How long a worker counts as looking for copies without a word of it.
COPIES_SECONDS = 120.0


@dataclass(frozen=True)
class Packed:
    """What ingestion found and where it put it."""

    classes: list[str]
    counts: dict[str, dict[str, int]]
    train_count: int
    test_count: int
    skipped: int
    content_hash: str
    images_digest: str
    labels_digest: str
    licence: str | None
    originals_digest: str | None = None
    originals_index_digest: str | None = None
    originals_bytes: int | None = None
    longer_side: int | None = None
    report: DatasetReport | None = None
    shared_originals: list[str] | None = None


_COLUMNS = Dataset.__table__.c
_CLAIM = leases.claiming(
    Dataset, sa.and_(_COLUMNS.id == sa.bindparam("dataset"), _COLUMNS.format <= FORMAT), images_done=0
)


def claim(
    session: Session, dataset_id: str | None, *, owner: str, lease_seconds: float
) -> tuple[Dataset, Lease] | None:
    """Claim a dataset to ingest: this one, or with None the one that has waited longest.

    Those of a newer format than this code's are left to newer workers.
    """
    if dataset_id is None:
        query = (
            sa.select(Dataset.id).where(leases.waiting(Dataset), Dataset.format <= FORMAT).order_by(Dataset.id).limit(1)
        )
        dataset_id = session.scalar(query.with_for_update(skip_locked=True))
    if dataset_id is None:
        return None
    granted = leases.claim(session, _CLAIM, owner=owner, lease_seconds=lease_seconds, dataset=dataset_id)
    return (session.get_one(Dataset, granted[0].id, populate_existing=True), granted[0]) if granted else None


def record_ready(session: Session, lease: Lease, packed: Packed) -> Dataset:
    """The dataset is there. If its content is known already, it becomes another name for the dataset that has it.

    Raises:
        LeaseLost: another worker has taken over.
    """
    owner = sa.select(Dataset.owned_by).where(Dataset.id == lease.id).scalar_subquery()
    query = sa.select(Dataset).where(
        Dataset.content_hash == packed.content_hash,
        Dataset.state == DatasetState.READY,
        Dataset.id != lease.id,
        # Another owner may delete theirs, and must not be found out by this.
        sa.or_(Dataset.owned_by == owner, Dataset.owned_by == NOBODY),
    )
    twin = session.scalars(query.order_by(Dataset.id)).first()
    known = followed(session, twin) if twin else None
    # Names under which the same archive was sent while it was read.
    names = sa.update(Dataset).where(Dataset.same_as == lease.id)
    session.execute(names.values(same_as=known.id if known else lease.id, report=packed.report, skipped=packed.skipped))
    if known is not None:
        packed = _given_originals(known, packed)
    leases.write(
        session,
        Dataset,
        lease,
        state=DatasetState.READY,
        lease_until=None,
        finished_at=utc_now(),
        images_done=packed.train_count + packed.test_count,
        same_as=known.id if known else None,
        # The worker that made it ready goes on with that.
        copies_until=None if known else _looked_for_until(),
        **vars(packed),
    )
    return followed(session, session.get_one(Dataset, lease.id, populate_existing=True))


def _given_originals(known: Dataset, packed: Packed) -> Packed:
    """Give the originals to the dataset that is known already, if it has none; its other name keeps none."""
    known.longer_side = known.longer_side or packed.longer_side
    if known.originals_digest is None:
        known.originals_digest = packed.originals_digest
        known.originals_index_digest = packed.originals_index_digest
        known.originals_bytes = packed.originals_bytes
        known.shared_originals = packed.shared_originals
    return replace(
        packed, originals_digest=None, originals_index_digest=None, originals_bytes=None, shared_originals=None
    )


def go_on_looking_for_copies(session: Session, dataset_id: str) -> None:
    """A worker looks for copies among a dataset's images: to be said again within `COPIES_SECONDS`."""
    session.execute(sa.update(Dataset).where(Dataset.id == dataset_id).values(copies_until=_looked_for_until()))


def give_up_copies(session: Session, dataset_id: str) -> None:
    """Nobody looks for copies among a dataset's images any more."""
    session.execute(sa.update(Dataset).where(Dataset.id == dataset_id).values(copies_until=None))


def _looked_for_until() -> sa.ColumnElement[float]:
    return seconds_now() + COPIES_SECONDS


def note_duplicates(session: Session, dataset_id: str, duplicates: Duplicates) -> None:
    """Add to a dataset's report which of its images are copies; nothing if it was deleted meanwhile."""
    dataset = session.get(Dataset, dataset_id, with_for_update=True)
    if dataset is not None and dataset.report is not None:
        dataset.report = readable(dataset.report).model_copy(update={"duplicates": duplicates})
        dataset.copies_until = None


def record_failed(session: Session, lease: Lease, error: Failure) -> None:
    """The dataset cannot be had; `error` says why.

    Raises:
        LeaseLost: another worker has taken over.
    """
    changes = {"state": DatasetState.FAILED, "lease_until": None, "finished_at": utc_now(), "error": error}
    leases.write(session, Dataset, lease, **changes)
    dataset_names.fail(session, [lease.id], error)


def release(session: Session, lease: Lease) -> None:
    """Give the ingestion back, to be started again by anyone; not counted as a loss."""
    leases.write(session, Dataset, lease, owner=None, lease_until=None, images_done=0, woken_at=seconds_now())


@dataclass(frozen=True)
class ReapedDatasets:
    """What a look for lost leases found: ids that wait again, and the archives of ingestions given up."""

    waiting: list[str]
    uploads_of_failed: list[str]


def expire(session: Session, owners: Collection[str]) -> list[str]:
    """Let the leases of these processes run out now; returns the datasets that they were ingesting."""
    return leases.expire(session, Dataset, owners)


def reap(session: Session, *, lease_seconds: float, max_losses: int, error: Failure) -> ReapedDatasets:
    """Take lost leases away: ingestions lost too often fail with `error`, the others wait again."""
    lost = session.scalars(
        sa.select(Dataset)
        .where(Dataset.state == DatasetState.INGESTING, leases.expired(Dataset, lease_seconds))
        .order_by(Dataset.id)
        .with_for_update(skip_locked=True)
    ).all()
    for dataset in lost:
        dataset.lease_until = None
        dataset.losses += 1
        if dataset.losses >= max_losses:
            dataset.state, dataset.error, dataset.finished_at = DatasetState.FAILED, error, utc_now()
        else:
            dataset.owner = None
            session.execute(sa.update(Dataset).where(Dataset.id == dataset.id).values(woken_at=seconds_now()))
    session.flush()
    failed = [dataset for dataset in lost if dataset.state is DatasetState.FAILED]
    dataset_names.fail(session, [dataset.id for dataset in failed], error)
    return ReapedDatasets(
        waiting=[dataset.id for dataset in lost if dataset not in failed],
        uploads_of_failed=[dataset.upload_digest for dataset in failed if dataset.upload_digest],
    )


def overdue(session: Session, *, wakeup_seconds: float) -> Sequence[str]:
    """Datasets that wait although they were woken long ago; they count as woken now."""
    statement = (
        sa.update(Dataset)
        .where(leases.overdue(Dataset, wakeup_seconds))
        .values(woken_at=seconds_now())
        .returning(Dataset.id)
    )
    return session.scalars(statement).all()
