"""What is to be made of datasets' images before a planned experiment can train on them, and how much of the disk it takes."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.spec.derived import Features, Needed, View
from noisegate.store.planning import Plan
from noisegate.store.states import DerivedState
from noisegate.store.tables import Dataset, Derived, DerivedFile


@dataclass(frozen=True)
class DiskNeed:
    """Of what is not there yet, about: a backbone's own weights are not counted.

    Attributes:
        made: in words, in the order of making.
        kept_bytes: stay as long as they are used.
        most_bytes: are taken on the way, by one artefact after another: each is on the disk twice before it is ready, as finished
            pieces and as a whole. Less the pieces that an earlier attempt has left.
    """

    made: list[str]
    kept_bytes: int
    most_bytes: int


@dataclass(frozen=True)
class Missing:
    """One artefact that is not there, or not whole."""

    dataset: Dataset
    needed: Needed

    @property
    def images(self) -> int:
        """As makers count them in a row's `total`: flipped ones are images of their own."""
        made, train, test = self.needed.parameters, self.dataset.train_count or 0, self.dataset.test_count or 0
        return train + test + (train if isinstance(made, Features) and made.flipped else 0)

    @property
    def size_bytes(self) -> int:
        """Of all its images, about."""
        source = self.needed.follows_from.parameters if self.needed.follows_from else None
        image_size = source.image_size if isinstance(source, View) else self.dataset.image_size
        return self.images * self.needed.parameters.bytes_an_image(image_size)

    @property
    def key(self) -> str:
        assert self.dataset.content_hash, "the dataset is ready"
        return self.needed.key(self.dataset.content_hash)

    @property
    def told(self) -> str:
        """In words."""
        made = self.needed.parameters
        if isinstance(made, View):
            return f"images at {made.image_size} pixels"
        if isinstance(made, Features):
            return f"features of {made.backbone}" + (f" up to {made.upto}" if made.upto else "")
        return made.kind


def missing_artefacts(session: Session, planned: Plan) -> list[Missing]:
    """Those that cells need, and what they are made of, unless it is there: sources before what follows from them."""
    wanted = [Missing(dataset, one) for dataset, needed in planned.artefacts() for one in needed.chain]
    unique = {(one.dataset.id, one.key): one for one in wanted}
    of_datasets = Derived.dataset_id.in_({id for id, _ in unique})
    query = sa.select(Derived.dataset_id, Derived.key).where(of_datasets, Derived.state == DerivedState.READY)
    ready = {(id, key) for id, key in session.execute(query)} if unique else set()
    return sorted((one for name, one in unique.items() if name not in ready), key=lambda one: len(one.needed.chain))


def disk_need(session: Session, planned: Plan) -> DiskNeed:
    """How much of the disk they take."""
    missing, kept, most = missing_artefacts(session, planned), 0, 0
    pieces = _piece_bytes(session, {one.dataset.id for one in missing}) if missing else {}
    for one in missing:
        most = max(most, kept + 2 * one.size_bytes - pieces.get((one.dataset.id, one.key), 0))
        kept += one.size_bytes
    return DiskNeed(list(dict.fromkeys(one.told for one in missing)), kept, max(kept, most))


def _piece_bytes(session: Session, dataset_ids: Collection[str]) -> dict[tuple[str, str], int]:
    """Of pieces that are finished, by the dataset and the key of what they are part of."""
    size = sa.func.sum(DerivedFile.size_bytes)
    query = sa.select(Derived.dataset_id, Derived.key, size).join(DerivedFile)
    query = query.where(Derived.dataset_id.in_(dataset_ids), Derived.state != DerivedState.READY)
    return {
        (id, key): int(found) for id, key, found in session.execute(query.group_by(Derived.dataset_id, Derived.key))
    }
