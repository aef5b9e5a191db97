"""Datasets that cells read besides the one they are trained on: named, waited for in turn, kept from deletion, and let go."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.errors import Conflict, InvalidSpec
from noisegate.spec import parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import datasets, deletion, derivations, derived, executions, files, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.derived import StoredFile
from noisegate.store.sessions import Sessions
from noisegate.store.states import DerivedState
from noisegate.store.tables import CellDataset, Derived, Execution
from tests import factories

SPEC: dict[str, Any] = {
    "kind": "open_set",
    "dataset": "pets",
    "known": ["cat", "dog"],
    "unknown": [{"dataset": "first"}, {"dataset": "second", "exclude": ["cat"]}],
    "executions": 1,
}


def made(session: Session, name: str, number: int, classes: tuple[str, ...]) -> None:
    """A dataset with these classes that is ready."""
    row = factories.ready_dataset(session, name, number=number)
    row.classes = list(classes)
    row.counts = {part: dict.fromkeys(classes, 20) for part in ("train", "test")}


@pytest.fixture
def session_with_three(sessions: Sessions) -> Sessions:
    with sessions.begin() as session:
        made(session, "pets", 1, ("cat", "dog"))
        made(session, "first", 2, ("fox", "owl"))
        made(session, "second", 3, ("cat", "elk"))
    return sessions


def post(sessions: Sessions, **changes: Any) -> str:
    with sessions.begin() as session:
        return planning.create(session, planning.plan(session, parse_spec(SPEC | changes), Caps())).id


def make_next(sessions: Sessions) -> str | None:
    """Make what waits, as a worker does, and settle; returns the name of the dataset that it was made of."""
    with sessions.begin() as session:
        claimed = derivations.claim(session, None, owner="worker", lease_seconds=30)
        if claimed is None:
            return None
        row, lease = claimed
        derivations.record_ready(
            session, lease, {"images.npy": StoredFile(factories.digest(row.dataset.image_size), 1)}, total=1
        )
        name = row.dataset.name
    with sessions.begin() as session:
        derived.settle(session)
    return name


def waiting_for(sessions: Sessions) -> str | None:
    with sessions.reading() as session:
        return session.scalar(sa.select(Execution.waits_for))


def test_a_cell_names_what_it_reads_and_waits_for_each_in_turn(session_with_three: Sessions) -> None:
    sessions = session_with_three
    post(sessions, image_size=40)
    with sessions.reading() as session:
        named = {row.field: row.dataset.name for row in session.scalars(sa.select(CellDataset))}
    assert named == {"unknown.0.dataset": "first", "unknown.1.dataset": "second"}
    order = []
    while waiting_for(sessions) is not None:
        order.append(make_next(sessions))
        assert len(order) <= 3, "each is made once"
    assert sorted(filter(None, order)) == ["first", "pets", "second"]
    with sessions.begin() as session:
        assert factories.claim_one(session)[0].waits_for is None, "now it can be trained"


def test_what_is_there_already_is_not_waited_for(session_with_three: Sessions) -> None:
    """At the size that they were packed at, there is nothing to make."""
    post(session_with_three)
    assert waiting_for(session_with_three) is None
    with session_with_three.reading() as session:
        assert session.scalars(sa.select(CellDataset.needs)).all() == [None, None]


def test_one_that_cannot_be_made_fails_the_executions(session_with_three: Sessions) -> None:
    sessions = session_with_three
    post(sessions, image_size=40)
    while (waits := waiting_for(sessions)) is not None:
        with sessions.begin() as session:
            row = session.get_one(Derived, waits)
            if row.dataset.name == "pets":
                claimed = derivations.claim(session, row.id, owner="worker", lease_seconds=30)
                assert claimed is not None
                derivations.record_ready(session, claimed[1], {}, total=1)
            else:
                claimed = derivations.claim(session, row.id, owner="worker", lease_seconds=30)
                assert claimed is not None
                derivations.record_failed(session, claimed[1], factories.failure())
        with sessions.begin() as session:
            derived.settle(session)
    with sessions.reading() as session:
        (failed,) = session.scalars(sa.select(Execution)).all()
    assert (failed.state.value, failed.error and failed.error.code) == ("failed", factories.failure().code)


def test_a_dataset_that_is_read_cannot_be_deleted_before_what_reads_it(
    session_with_three: Sessions, tmp_path: Path
) -> None:
    sessions, artefacts = session_with_three, Artefacts(tmp_path / "artefacts")
    id = post(sessions)
    with pytest.raises(Conflict, match="experiments use dataset"), sessions.begin() as session:
        datasets.delete(session, datasets.get(session, "first").id)
    samples = artefacts.put_bytes(b"scores of each image")
    with sessions.begin() as session:
        _, lease = factories.claim_one(session)
        executions.record_success(session, lease, factories.outcome(), samples_digest=samples)
    with sessions.reading() as session:
        assert files.unreferenced(session, [samples]) == []
    with sessions.begin() as session:
        deleted = deletion.delete_experiment(session, id)
    assert samples in deleted.digests
    assert files.discard(sessions, artefacts, deleted.digests) == [samples]
    with sessions.begin() as session:
        datasets.delete(session, datasets.get(session, "first").id)
        assert session.scalar(sa.select(sa.func.count()).select_from(CellDataset)) == 0


def test_what_an_open_experiment_reads_is_not_dropped(session_with_three: Sessions) -> None:
    post(session_with_three, image_size=40)
    with session_with_three.begin() as session:
        dropped = derived.drop(session, Derived.state == DerivedState.WAITING)
    assert dropped.ids == []


@pytest.mark.parametrize(
    ("unknown", "field", "words"),
    [
        ([{"dataset": "nothing"}], "unknown.0.dataset", "there is no dataset"),
        ([{"dataset": "first"}, {"dataset": "pets"}], "unknown.1.dataset", "which is trained on"),
        ([{"dataset": "second"}], "unknown.0.exclude", "known ones by name: cat"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_field(
    session_with_three: Sessions, unknown: list[dict[str, Any]], field: str, words: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        post(session_with_three, unknown=unknown)
    error = refused.value.errors[0]
    assert (error.field, words in error.message, bool(error.remedy)) == (field, True, True)
