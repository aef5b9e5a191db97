"""Names of datasets: the one that each was registered under, and others under which the same was sent again.

Another name is a row of its own that says which dataset it is the same as; there is nothing to ingest for it.
"""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.api.problems import Failure
from noisegate.errors import Conflict
from noisegate.store.sessions import own_or_nobodys
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset, utc_now


def check_free(session: Session, name: str) -> None:
    """Raises Conflict if a dataset has this name, or is about to."""
    if (held := _holder(session, name)) is not None:
        raise _taken(held)


def add(session: Session, known: Dataset, name: str, alike: Collection[Dataset], sent: Dataset) -> None:
    """Give a dataset another name: the same archive was sent again under it, maybe while it is ingested.

    What reading that archive found is told of this name too: that of `sent`, the row of the archive, which need not be `known`.

    One that is held by a dataset from the same archive, of `alike`, stays there: that one is older than originals.

    Raises:
        Conflict: another dataset has this name.
    """
    held = _holder(session, name)
    if held is None:
        other = Dataset(name=name, source=known.source, image_size=known.image_size, state=DatasetState.READY)
        other.same_as, other.finished_at = known.id, utc_now()
        other.report, other.skipped = sent.report, sent.skipped
        session.add(other)
        session.flush()
    elif {held.id, held.same_as}.isdisjoint({known.id, *(one.id for one in alike)}):
        raise _taken(held)


def _holder(session: Session, name: str) -> Dataset | None:
    alive = Dataset.state != DatasetState.FAILED
    return session.scalars(
        sa.select(Dataset).where(alive, Dataset.name == name, own_or_nobodys(session, Dataset))
    ).first()


def _taken(held: Dataset) -> Conflict:
    remedy = "Choose another name, or delete that dataset."
    return Conflict(f"the name {held.name!r} belongs to dataset {held.same_as or held.id}", field="name", remedy=remedy)


def fail(session: Session, dataset_ids: Collection[str], error: Failure) -> None:
    """The other names of these datasets are free again; asked for by one of them, the failed dataset is found."""
    names = sa.update(Dataset).where(Dataset.same_as.in_(dataset_ids))
    session.execute(names.values(state=DatasetState.FAILED, error=error))


def usable(session: Session) -> Sequence[str]:
    """The names of the datasets that experiments may use now."""
    ready = sa.select(Dataset.id).where(Dataset.state == DatasetState.READY)
    is_ready = sa.or_(Dataset.same_as.is_(None), Dataset.same_as.in_(ready))
    query = sa.select(Dataset.name).where(Dataset.state == DatasetState.READY, is_ready)
    return session.scalars(query.order_by(Dataset.name)).all()


def others(session: Session, dataset_ids: Sequence[str]) -> dict[str, list[str]]:
    """The other names of each dataset, in the order in which they were given."""
    query = sa.select(Dataset.same_as, Dataset.name).where(Dataset.same_as.in_(dataset_ids)).order_by(Dataset.id)
    found: dict[str, list[str]] = {id: [] for id in dataset_ids}
    for id, name in session.execute(query):
        found[str(id)].append(name)
    return found
