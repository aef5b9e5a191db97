"""Dataset rows: registered when asked for, claimed and filled by a worker, found again by id, name or content."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.dataset_report import DatasetReport
from noisegate.api.duplicates import Duplicates
from noisegate.api.problems import Failure
from noisegate.api.reading import AS_IT_IS, Reading
from noisegate.errors import Conflict, NotFound
from noisegate.store import dataset_names, derived, files, leases
from noisegate.store.clock import seconds_now
from noisegate.store.json_columns import readable
from noisegate.store.leases import Lease
from noisegate.store.pages import Page, page_of
from noisegate.store.sessions import OF_ALL_OWNERS, may_change, own_first, own_or_nobodys, require_own
from noisegate.store.states import DatasetState
from noisegate.store.tables import NOBODY, Cell, CellDataset, Dataset, Derived, Experiment, utc_now


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


@dataclass(frozen=True)
class Registered:
    """A dataset that was asked for, and whether it is new: then there is something to ingest."""

    dataset: Dataset
    created: bool


def register(
    session: Session,
    *,
    name: str,
    source: str,
    image_size: int,
    upload_digest: str | None,
    reading: Reading = AS_IT_IS,
    base: Dataset | None = None,
) -> Registered:
    """A dataset to be ingested; the one that is there already if the same archive was sent before, to be read the same way.

    With a `base` (from `prerequisites.usable_base`) its images are added to that one; the same archive onto another base, or
    onto none, is another dataset.

    One that is there from before originals were kept is ingested again, under another name if it has this one: it gets the
    originals then (`record_ready`).

    Raises:
        Conflict: another dataset has this name.
    """
    if upload_digest is not None:
        files.lock(session)
    alike = _alike(session, source, image_size, upload_digest, reading, base)
    if (known := _going_or_whole(alike)) is not None:
        dataset_names.add(session, known, name, alike)
        return Registered(known, created=False)
    if (held := _without_originals(alike)) is not None and held.name == name:
        name = f"{name[:180]} with originals"
    dataset_names.check_free(session, name)
    dataset = Dataset(name=name, source=source, image_size=image_size, upload_digest=upload_digest, reading=reading)
    if base is not None:
        dataset.base_id, dataset.base_name = base.id, base.name
    session.add(dataset)
    session.flush()
    return Registered(dataset, created=True)


def _going_or_whole(alike: Sequence[Dataset]) -> Dataset | None:
    """The dataset that is being ingested or has its originals."""
    return next((one for one in alike if one.state is DatasetState.INGESTING or one.originals_digest), None)


def _without_originals(alike: Sequence[Dataset]) -> Dataset | None:
    return next((one for one in alike if one.state is DatasetState.READY and not one.originals_digest), None)


def _alike(
    session: Session,
    source: str,
    image_size: int,
    upload_digest: str | None,
    reading: Reading,
    base: Dataset | None,
) -> list[Dataset]:
    """Datasets from the same source, read the same way; where one turned out to repeat another, that other one."""
    query = sa.select(Dataset).where(
        _alive(),
        own_or_nobodys(session, Dataset),
        Dataset.source == source,
        Dataset.image_size == image_size,
        Dataset.upload_digest == upload_digest if upload_digest else Dataset.upload_digest.is_(None),
        Dataset.base_id == base.id if base else Dataset.base_id.is_(None),
    )
    found = session.scalars(query.order_by(Dataset.id)).all()
    return [_followed(session, one) for one in found if one.reading == reading]


def get(session: Session, reference: str) -> Dataset:
    """The dataset with this id or name; for an upload that repeated another dataset, that other one.

    Of those that failed a name means the newest, and only as long as no other dataset has taken it.

    Raises:
        NotFound: there is none.
    """
    return _followed(session, _referred(session, reference))


def _referred(session: Session, reference: str) -> Dataset:
    query = sa.select(Dataset).where(sa.or_(Dataset.id == reference, Dataset.name == reference))
    alive = query.where(sa.or_(_alive(), Dataset.id == reference)).order_by(own_first(session, Dataset), Dataset.id)
    failed = query.order_by(own_first(session, Dataset), Dataset.id.desc())
    dataset = session.scalars(alive).first() or session.scalars(failed).first()
    if dataset is None:
        raise NotFound(f"there is no dataset {reference!r}", field="dataset", remedy="GET /datasets lists them.")
    return dataset


def page(session: Session, *, cursor: str | None, limit: int) -> Page[Dataset]:
    """Newest first, repeated uploads left out."""
    query = sa.select(Dataset).where(Dataset.same_as.is_(None))
    return page_of(session, query, Dataset.id, filters={}, cursor=cursor, limit=limit)


_CLAIM = leases.claiming(Dataset, Dataset.__table__.c.id == sa.bindparam("dataset"), images_done=0)


def claim(
    session: Session, dataset_id: str | None, *, owner: str, lease_seconds: float
) -> tuple[Dataset, Lease] | None:
    """Claim a dataset to ingest: this one, or with None the one that has waited longest."""
    if dataset_id is None:
        query = sa.select(Dataset.id).where(leases.waiting(Dataset)).order_by(Dataset.id).limit(1)
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
    known = _followed(session, twin) if twin else None
    if known is not None:
        packed = _given_originals(known, packed)
        session.execute(sa.update(Dataset).where(Dataset.same_as == lease.id).values(same_as=known.id))
    leases.write(
        session,
        Dataset,
        lease,
        state=DatasetState.READY,
        lease_until=None,
        finished_at=utc_now(),
        images_done=packed.train_count + packed.test_count,
        same_as=known.id if known else None,
        **vars(packed),
    )
    return _followed(session, session.get_one(Dataset, lease.id, populate_existing=True))


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


def note_duplicates(session: Session, dataset_id: str, duplicates: Duplicates) -> None:
    """Add to a dataset's report which of its images are copies; nothing if it was deleted meanwhile."""
    dataset = session.get(Dataset, dataset_id, with_for_update=True)
    if dataset is not None and dataset.report is not None:
        dataset.report = readable(dataset.report).model_copy(update={"duplicates": duplicates})


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


def delete(session: Session, dataset_id: str) -> list[str]:
    """Remove the dataset, its other names, and what was made of it.

    Returns the digests of their files, candidates for `files.discard`. Of an owner's name for a shared dataset, the name goes
    and nothing else.

    Raises:
        NotFound: no such dataset.
        NotYours: it is shared.
        Conflict: experiments refer to it, or it is being ingested, or an upload to it is.
    """
    files.lock(session)  # an upload to it may be registered this moment
    named = _referred(session, dataset_id)
    require_own(session, named)
    dataset = _followed(session, named)
    if not may_change(session, dataset):
        session.delete(named)
        session.flush()
        return []
    reads = sa.select(Cell.experiment_id).join(CellDataset).where(CellDataset.dataset_id == dataset.id)
    used = sa.select(Experiment.id).where(sa.or_(Experiment.dataset_id == dataset.id, Experiment.id.in_(reads)))
    if session.scalars(used, execution_options={OF_ALL_OWNERS: True}).first() is not None:
        remedy = "Delete its experiments first; without it their results could no longer be traced."
        raise Conflict(f"experiments use dataset {dataset.id}", field="dataset", remedy=remedy)
    if dataset.state is DatasetState.INGESTING:
        raise Conflict(f"dataset {dataset.id} is being ingested", remedy="Wait until it is ready or has failed.")
    awaited = sa.select(Dataset.id).where(Dataset.base_id == dataset.id, Dataset.state == DatasetState.INGESTING)
    if session.scalars(awaited, execution_options={OF_ALL_OWNERS: True}).first() is not None:
        remedy = "Wait until that is ready or has failed."
        raise Conflict(f"an upload to dataset {dataset.id} is being ingested", field="dataset", remedy=remedy)
    made_of_it = derived.drop(session, Derived.dataset_id == dataset.id).digests
    session.execute(sa.delete(Dataset).where(Dataset.same_as == dataset.id))
    session.delete(dataset)
    session.flush()
    return dataset.digests + made_of_it


def _alive() -> sa.ColumnElement[bool]:
    return Dataset.state != DatasetState.FAILED


def _followed(session: Session, dataset: Dataset) -> Dataset:
    return session.get_one(Dataset, dataset.same_as) if dataset.same_as else dataset
