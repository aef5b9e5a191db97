"""What is to be made of a dataset's images before a planned experiment can train on them, and how much of the disk it takes."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.spec.derived import DerivedSpec, Features, Needed, View
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


def missing_artefacts(session: Session, planned: Plan) -> list[Needed]:
    """Those that cells need, and what they are made of, unless it is there: sources before what follows from them."""
    if (dataset := planned.dataset) is None:
        return []
    assert dataset.content_hash, "the dataset is ready"
    needed = [planned.needed(spec) for spec in planned.specs]
    chains = {one.key(dataset.content_hash): one for wanted in needed if wanted for one in wanted.chain}
    there = sa.select(Derived.key).where(Derived.dataset_id == dataset.id, Derived.state == DerivedState.READY)
    ready = set(session.scalars(there))
    return sorted((one for key, one in chains.items() if key not in ready), key=lambda one: len(one.chain))


def disk_need(session: Session, planned: Plan) -> DiskNeed:
    """How much of the disk they take."""
    dataset, kept, most = planned.dataset, 0, 0
    missing = missing_artefacts(session, planned)
    pieces = _piece_bytes(session, dataset) if dataset and missing else {}
    for one in missing:
        assert dataset is not None, "an artefact is made of a dataset"
        assert dataset.content_hash
        whole = images_made(one.parameters, dataset) * one.parameters.bytes_an_image(_source_size(one, dataset))
        most = max(most, kept + 2 * whole - pieces.get(one.key(dataset.content_hash), 0))
        kept += whole
    return DiskNeed([told(one) for one in missing], kept, max(kept, most) if missing else 0)


def images_made(made: DerivedSpec, dataset: Dataset) -> int:
    """As makers count them in a row's `total`: flipped ones are images of their own."""
    train, test = dataset.train_count or 0, dataset.test_count or 0
    return train + test + (train if isinstance(made, Features) and made.flipped else 0)


def told(needed: Needed) -> str:
    """In words."""
    made = needed.parameters
    if isinstance(made, View):
        return f"images at {made.image_size} pixels"
    if isinstance(made, Features):
        return f"features of {made.backbone}" + (f" up to {made.upto}" if made.upto else "")
    return made.kind


def _source_size(needed: Needed, dataset: Dataset) -> int:
    source = needed.follows_from.parameters if needed.follows_from else None
    return source.image_size if isinstance(source, View) else dataset.image_size


def _piece_bytes(session: Session, dataset: Dataset) -> dict[str, int]:
    """Of pieces that are finished, by the key of what they are part of."""
    of_dataset = sa.select(Derived.key, sa.func.sum(DerivedFile.size_bytes)).join(DerivedFile)
    query = of_dataset.where(Derived.dataset_id == dataset.id, Derived.state != DerivedState.READY)
    return {key: int(size) for key, size in session.execute(query.group_by(Derived.key))}
