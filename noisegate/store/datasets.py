"""Dataset rows: registered when asked for, found again by id, name or content, deleted. Workers fill them by `ingestions`."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.dataset_report import DatasetReport, SearchState
from noisegate.api.reading import AS_IT_IS, Reading
from noisegate.errors import Conflict, NotFound
from noisegate.spec.formats import format_of
from noisegate.store import dataset_names, derived, files
from noisegate.store.clock import seconds_now
from noisegate.store.json_columns import readable
from noisegate.store.pages import Page, page_of
from noisegate.store.sessions import OF_ALL_OWNERS, may_change, own_first, own_or_nobodys, require_own
from noisegate.store.states import DatasetState
from noisegate.store.tables import Cell, CellDataset, Dataset, Derived, Experiment

# The source of versions that have other labels: their upload is a table, and their images are the base's.
LABELS = "labels"


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
    file_name: str | None = None,
) -> Registered:
    """A dataset to be ingested; the one that is there already if the same archive was sent before, to be read the same way.

    With a `base` (from `prerequisites.usable_base`) its images are added to that one; the same archive onto another base, or
    onto none, is another dataset.

    One that is there from before originals were kept is ingested again, under another name if it has this one: it gets the
    originals then (`record_ready`).

    Args:
        file_name: what the sender calls the upload's file.

    Raises:
        Conflict: another dataset has this name.
    """
    if upload_digest is not None:
        files.lock(session)
    sent = _sent_before(session, source, image_size, upload_digest, reading, base)
    alike = [followed(session, one) for one in sent]
    if (known := _going_or_whole(alike)) is not None:
        dataset_names.add(session, known, name, alike, sent[alike.index(known)])
        return Registered(known, created=False)
    if (held := _without_originals(alike)) is not None and held.name == name:
        name = f"{name[:180]} with originals"
    dataset_names.check_free(session, name)
    dataset = Dataset(
        name=name,
        source=source,
        image_size=image_size,
        upload_digest=upload_digest,
        reading=reading,
        file_name=file_name,
        format=format_of([("source", source)]),
    )
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


def _sent_before(
    session: Session,
    source: str,
    image_size: int,
    upload_digest: str | None,
    reading: Reading,
    base: Dataset | None,
) -> list[Dataset]:
    """Datasets from the same source, read the same way, the first first."""
    query = sa.select(Dataset).where(
        _alive(),
        own_or_nobodys(session, Dataset),
        Dataset.source == source,
        Dataset.image_size == image_size,
        Dataset.upload_digest == upload_digest if upload_digest else Dataset.upload_digest.is_(None),
        Dataset.base_id == base.id if base else Dataset.base_id.is_(None),
    )
    found = session.scalars(query.order_by(Dataset.id)).all()
    return [one for one in found if one.reading == reading]


def get(session: Session, reference: str) -> Dataset:
    """The dataset with this id or name; for an upload that repeated another dataset, that other one.

    Of those that failed a name means the newest, and only as long as no other dataset has taken it.

    Raises:
        NotFound: there is none.
    """
    return followed(session, _referred(session, reference))


def skipped(session: Session, reference: str) -> int | None:
    """How many files were left out of the upload with this id or name; None if that is not known. Raises as `get`."""
    named = _referred(session, reference)
    return followed(session, named).skipped if named.skipped is None else named.skipped


@dataclass(frozen=True)
class Reported:
    """A dataset, and what reading the upload found that was sent under the name asked for; None in those older than reports."""

    dataset: Dataset
    report: DatasetReport | None


def reported(session: Session, reference: str) -> Reported:
    """The report of the upload with this id or name: of several uploads that came to one dataset, each has its own.

    Copies are those among the images, and so the dataset's.

    Raises:
        NotFound: there is no such dataset.
        NewerVersion: its report cannot be read here.
    """
    named = _referred(session, reference)
    dataset = followed(session, named)
    own, of_images = readable(named.report or dataset.report), readable(dataset.report)
    if own is None:
        return Reported(dataset, None)
    found = of_images.duplicates if of_images else None
    looks = sa.select(Dataset.copies_until > seconds_now()).where(Dataset.id == dataset.id)
    unfinished: SearchState = "running" if session.scalar(looks) else "unfinished"
    state: SearchState = unfinished if found is None else "finished"
    return Reported(dataset, own.model_copy(update={"duplicates": found, "duplicates_search": state}))


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
    dataset = followed(session, named)
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


def followed(session: Session, dataset: Dataset) -> Dataset:
    """The dataset itself or, of an upload that repeated another one, that other one."""
    return session.get_one(Dataset, dataset.same_as) if dataset.same_as else dataset
