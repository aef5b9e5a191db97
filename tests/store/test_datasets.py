"""Datasets: the same content is the same dataset, names are unique among the living, and use protects from deletion."""

import dataclasses

import pytest
from sqlalchemy.orm import Session

from noisegate.errors import Conflict, NotFound
from noisegate.store import dataset_names, datasets, files, ingestions
from noisegate.store.leases import Lease
from noisegate.store.sessions import Sessions
from noisegate.store.states import DatasetState
from noisegate.store.tables import Dataset
from tests import factories


def _upload(session: Session, name: str, number: int) -> tuple[Dataset, Lease]:
    dataset = datasets.register(
        session, name=name, source="upload", image_size=32, upload_digest=factories.digest(number)
    ).dataset
    claimed = ingestions.claim(session, dataset.id, owner="w", lease_seconds=30)
    assert claimed is not None
    return claimed


def test_the_same_archive_is_registered_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first = factories.ready_dataset(session, "pets", number=1)
        again = datasets.register(
            session, name="pets", source="upload", image_size=32, upload_digest=factories.digest(3001)
        ).dataset
        larger = datasets.register(
            session, name="large", source="upload", image_size=64, upload_digest=factories.digest(3001)
        ).dataset
    assert again.id == first.id
    assert larger.id != first.id


def test_the_same_content_in_another_archive_becomes_another_name(sessions: Sessions) -> None:
    with sessions.begin() as session:
        first = factories.ready_dataset(session, "pets", number=1)
        second, lease = _upload(session, "animals", 77)
        assert ingestions.record_ready(session, lease, factories.packed(1)).id == first.id
        third, lease = _upload(session, "beasts", 78)
        assert ingestions.record_ready(session, lease, factories.packed(1)).id == first.id
    with sessions.reading() as session:
        assert {datasets.get(session, name).id for name in ("pets", "animals", "beasts", second.id, third.id)} == {
            first.id
        }
        assert [dataset.id for dataset in datasets.page(session, cursor=None, limit=9).items] == [first.id]


def test_a_name_belongs_to_one_dataset_until_it_fails(sessions: Sessions) -> None:
    with sessions.begin() as session:
        failing, lease = _upload(session, "pets", 1)
    with pytest.raises(Conflict) as caught, sessions.begin() as session:
        datasets.register(session, name="pets", source="upload", image_size=32, upload_digest=factories.digest(2))
    assert caught.value.field == "name"
    with sessions.begin() as session:
        ingestions.record_failed(session, lease, factories.failure("invalid-archive"))
        assert datasets.get(session, "pets").id == failing.id, "nothing else has the name yet"
        heir = datasets.register(
            session, name="pets", source="upload", image_size=32, upload_digest=factories.digest(1)
        ).dataset
    with sessions.reading() as session:
        assert heir.id != failing.id
        assert datasets.get(session, "pets").id == heir.id
        assert datasets.get(session, failing.id).state is DatasetState.FAILED


def _twice(session: Session) -> Lease:
    """An archive that is sent under another name while it is ingested."""
    first, lease = _upload(session, "left", 1)
    again = datasets.register(session, name="right", source="upload", image_size=32, upload_digest=factories.digest(1))
    assert (again.created, again.dataset.id) == (False, first.id)
    assert {datasets.get(session, name).id for name in ("left", "right")} == {first.id}
    assert not {"left", "right"} & set(dataset_names.usable(session))
    assert ingestions.claim(session, None, owner="w", lease_seconds=30) is None, "a name is nothing to ingest"
    return lease


def test_another_name_given_meanwhile_stays(sessions: Sessions) -> None:
    with sessions.begin() as session:
        ready = ingestions.record_ready(session, _twice(session), factories.packed(1))
        assert datasets.get(session, "right").id == ready.id
        assert dataset_names.usable(session) == ["left", "right"]


def test_another_name_given_meanwhile_follows_to_what_has_the_same_content(sessions: Sessions) -> None:
    with sessions.begin() as session:
        known = factories.ready_dataset(session, "pets", number=1)
    with sessions.begin() as session:
        ingestions.record_ready(session, _twice(session), factories.packed(1))
    with sessions.reading() as session:
        assert {datasets.get(session, name).id for name in ("left", "right", "pets")} == {known.id}


def test_another_name_given_meanwhile_is_free_again_after_a_failure(sessions: Sessions) -> None:
    with sessions.begin() as session:
        lease = _twice(session)
        ingestions.record_failed(session, lease, factories.failure("invalid-archive"))
    with sessions.begin() as session:
        failed = datasets.get(session, "right")
        assert (failed.id, failed.state) == (lease.id, DatasetState.FAILED)
        heir, _ = _upload(session, "right", 2)
        assert datasets.get(session, "right").id == heir.id
        assert datasets.get(session, "left").id == lease.id


def test_deletion_answers_the_files_nobody_needs(sessions: Sessions) -> None:
    with sessions.begin() as session:
        dataset = factories.ready_dataset(session, "pets", number=1)
        _, lease = _upload(session, "animals", 77)
        ingestions.record_ready(session, lease, factories.packed(1))
    with sessions.begin() as session:
        digests = datasets.delete(session, dataset.id)
        assert digests == [factories.digest(number) for number in (1001, 2001, 4001, 5001)]
        assert files.unreferenced(session, digests) == digests
    with pytest.raises(NotFound), sessions.begin() as session:
        datasets.get(session, "animals")


def test_deleting_what_is_used_or_underway_is_refused(sessions: Sessions) -> None:
    with sessions.begin() as session:
        used = factories.ready_dataset(session)
        factories.queued_experiment(session)
        underway, _ = _upload(session, "new", 9)
    for dataset in (used, underway):
        with pytest.raises(Conflict), sessions.begin() as session:
            datasets.delete(session, dataset.id)
    with pytest.raises(NotFound), sessions.begin() as session:
        datasets.delete(session, "ds_unknown")


def test_an_archive_stays_as_long_as_someone_waits_for_it(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _, lease = _upload(session, "pets", 5)
        assert files.unreferenced(session, [factories.digest(5)]) == []
        ingestions.record_ready(session, lease, factories.packed(1))
        assert files.unreferenced(session, [factories.digest(5)]) == [factories.digest(5)]


def test_a_source_from_before_originals_were_kept_is_ingested_once_more(sessions: Sessions) -> None:
    def asked(session: Session) -> datasets.Registered:
        return datasets.register(session, name="digits", source="digits", image_size=32, upload_digest=None)

    with sessions.begin() as session:
        old = asked(session).dataset
        claimed = ingestions.claim(session, old.id, owner="w", lease_seconds=30)
        assert claimed is not None
        ingestions.record_ready(session, claimed[1], dataclasses.replace(factories.packed(), originals_digest=None))
    with sessions.begin() as session:
        again = asked(session)
        assert (again.created, again.dataset.name) == (True, "digits with originals")
        assert asked(session) == datasets.Registered(again.dataset, created=False)
        claimed = ingestions.claim(session, again.dataset.id, owner="w", lease_seconds=30)
        assert claimed is not None
        ingestions.record_ready(session, claimed[1], factories.packed())
    with sessions.begin() as session:
        digits = asked(session)
        assert (digits.created, digits.dataset.id) == (False, old.id)
        assert digits.dataset.originals_digest == factories.packed().originals_digest
        assert [row.id for row in datasets.page(session, cursor=None, limit=9).items] == [old.id]


def test_only_ready_datasets_are_offered(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session, "pets")
        _upload(session, "new", 9)
        assert dataset_names.usable(session) == ["pets"]
