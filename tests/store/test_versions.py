"""Rows of versions: what makes them the same, who may be a base, and which files outlive a base."""

import dataclasses
from typing import Any

import pytest
from sqlalchemy.orm import Session

from noisegate.errors import Conflict, InvalidInput, NoisegateError, NotReady
from noisegate.store import datasets, files, ingestions
from noisegate.store.leases import Lease
from noisegate.store.prerequisites import usable_base
from noisegate.store.sessions import Sessions
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from tests import factories


def _register(session: Session, name: str, base: Dataset | None, number: int = 77) -> datasets.Registered:
    digest = factories.digest(number)
    return datasets.register(session, name=name, source="upload", image_size=32, upload_digest=digest, base=base)


def _lease(session: Session, dataset: Dataset) -> Lease:
    claimed = ingestions.claim(session, dataset.id, owner="w", lease_seconds=30)
    assert claimed is not None
    return claimed[1]


def _ready(session: Session, name: str, base: Dataset, number: int) -> Dataset:
    """A version of a dataset, as ingestion would leave it."""
    version = _register(session, name, base, 100 + number).dataset
    shared = [str(base.originals_digest), *(base.shared_originals or ())]
    found = dataclasses.replace(factories.packed(number), shared_originals=shared)
    return ingestions.record_ready(session, _lease(session, version), found)


def test_the_base_belongs_to_what_a_dataset_is(sessions: Sessions) -> None:
    with sessions.begin() as session:
        pets, beasts = factories.ready_dataset(session, "pets"), factories.ready_dataset(session, "beasts", number=2)
        alone, onto_pets, onto_beasts = (
            _register(session, str(n), base) for n, base in enumerate((None, pets, beasts))
        )
        assert len({one.dataset.id for one in (alone, onto_pets, onto_beasts)}) == 3
        again = _register(session, "another name", pets)
        assert (again.created, again.dataset.id) == (False, onto_pets.dataset.id)
        assert (onto_pets.dataset.base_id, onto_pets.dataset.base_name) == (pets.id, "pets")
        assert (alone.dataset.base_id, alone.dataset.base_name) == (None, None)


def test_originals_stay_until_neither_base_nor_version_needs_them(sessions: Sessions) -> None:
    with sessions.begin() as session:
        base = factories.ready_dataset(session, "pets", number=1)
        middle = _ready(session, "more pets", base, 2)
        newest = _ready(session, "most pets", middle, 3)
        own = {number: factories.digest(4000 + number) for number in (1, 2, 3)}
        assert newest.shared_originals == [own[2], own[1]]
    with sessions.begin() as session:
        gone = datasets.delete(session, "pets")
        assert own[1] in gone
        assert files.unreferenced(session, gone) == [d for d in gone if d != own[1]]
        assert {own[1], own[2], own[3]} <= files.named(session)
    with sessions.begin() as session:
        gone = datasets.delete(session, "most pets")
        assert {own[1], own[2], own[3]} <= set(gone)
        assert not {own[1], own[2]} & set(files.unreferenced(session, gone)), "the one between has them still"
    with sessions.begin() as session:
        gone = datasets.delete(session, "more pets")
        assert {own[1], own[2]} <= set(files.unreferenced(session, gone))
        assert files.named(session) == set()


def test_the_originals_of_another_owners_version_stay(sessions: Sessions) -> None:
    with sessions.begin() as session:
        base = factories.ready_dataset(session, "pets", number=1)
    with sessions.of("ann").begin() as session:
        _ready(session, "mine", session.get_one(Dataset, base.id), 2)
    with sessions.of("bob", sees_all=True).begin() as session:
        gone = datasets.delete(session, "pets")
    with sessions.of("bob").begin() as session:
        assert factories.digest(4001) not in files.unreferenced(session, gone)


def test_a_version_with_known_content_gives_what_it_shares_too(sessions: Sessions) -> None:
    with sessions.begin() as session:
        base = factories.ready_dataset(session, "pets", number=1)
        old = factories.ready_dataset(session, "old", number=2)
        old.originals_digest = old.originals_index_digest = old.originals_bytes = None
        session.flush()
        assert _ready(session, "version", base, 2).id == old.id
        assert old.shared_originals == [factories.digest(4001)]
        assert old.originals_digest == factories.digest(4002)


def test_a_base_stays_while_something_is_added_to_it(sessions: Sessions) -> None:
    with sessions.begin() as session:
        base = factories.ready_dataset(session, "pets")
    with sessions.of("ann").begin() as session:
        version = _register(session, "version", session.get_one(Dataset, base.id)).dataset
    with pytest.raises(Conflict, match="is being ingested") as caught, sessions.begin() as session:
        datasets.delete(session, "pets")
    assert caught.value.remedy
    with sessions.begin() as session:
        ingestions.record_failed(session, _lease(session, version), factories.failure("invalid-archive"))
        datasets.delete(session, "pets")


def _failed(session: Session) -> Dataset:
    waiting = _register(session, "failed", None).dataset
    ingestions.record_failed(session, _lease(session, waiting), factories.failure("invalid-archive"))
    return waiting


@pytest.mark.parametrize(
    ("reference", "image_size", "error", "field", "says"),
    [
        ("unknown", None, InvalidInput, "base", "there is no dataset 'unknown'"),
        ("others", None, InvalidInput, "base", "there is no dataset 'others'"),
        ("waiting", None, NotReady, "base", "still being ingested"),
        ("failed", None, Conflict, "base", "the ingestion of dataset 'failed' failed"),
        ("old", None, Conflict, "base", "from before originals were kept"),
        ("pets", 64, InvalidInput, "image_size", "is 64, and the base 'pets' was packed at 32"),
        ("long", None, InvalidInput, "base", "a version upon 100 others"),
    ],
)
def test_what_cannot_be_a_base(
    sessions: Sessions, reference: str, image_size: int | None, error: type[NoisegateError], field: str, says: str
) -> None:
    with sessions.of("bob").begin() as session:
        factories.ready_dataset(session, "others", number=9)
    with sessions.of("ann").begin() as session:
        for number, name in enumerate(("pets", "old", "long")):
            factories.ready_dataset(session, name, number=number)
        datasets.get(session, "old").originals_digest = None
        datasets.get(session, "long").shared_originals = ["f" * 64] * 100
        _failed(session)
        _register(session, "waiting", None, 5)
    with pytest.raises(error) as caught, sessions.of("ann").reading() as session:
        usable_base(session, reference, image_size)
    assert (caught.value.field, says in caught.value.detail) == (field, True)
    assert caught.value.remedy


@pytest.mark.parametrize("asked", [{"image_size": None}, {"image_size": 32}])
def test_a_base_by_another_name_is_the_dataset_itself(sessions: Sessions, asked: dict[str, Any]) -> None:
    with sessions.begin() as session:
        base = factories.ready_dataset(session, "pets", number=1)
        twin = _register(session, "twin", None).dataset
        ingestions.record_ready(session, _lease(session, twin), factories.packed(1))
        assert usable_base(session, "twin", **asked).id == base.id
        assert base.state is DatasetState.READY
