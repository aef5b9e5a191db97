"""Keys in the database, and the sessions of their owners."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from noisegate.errors import Conflict, InvalidInput, NotFound, NotYours
from noisegate.store import datasets, deletion, experiments, ingestions, keys, models
from noisegate.store.artefacts import Artefacts
from noisegate.store.keys import Scope
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Alias, ApiKey, Dataset, Model
from tests.factories import claim_one, manifest, model_files, packed, queued_experiment, ready_dataset, spec
from tests.service.factories import served_model


def test_a_key_opens_until_it_is_revoked_or_expires(sessions: Sessions) -> None:
    with sessions.begin() as session:
        token, row = keys.create(session, owner="ada", scopes=[Scope.TRAIN, Scope.READ])
        brief, _ = keys.create(session, owner="ada", scopes=[Scope.READ], days=1)
        id = row.id
    parts = keys.split(token)
    assert parts is not None
    assert parts[0] == id
    with sessions.reading() as session:
        key = keys.open_keys(session)[id]
        assert len(keys.open_keys(session)) == 2
    assert (key.owner, set(key.scopes)) == ("ada", {Scope.READ, Scope.TRAIN})
    assert key.opens_with(parts[1])
    assert not key.opens_with(parts[1][:-1])
    with sessions.begin() as session:
        session.execute(
            sa.update(ApiKey).where(ApiKey.id != id).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        )
        keys.revoke(session, id)
    with sessions.reading() as session:
        assert keys.open_keys(session) == {}
        assert [row.id for row in keys.every(session)] == [id, brief.split("_")[1]]


def test_no_secret_is_stored(sessions: Sessions) -> None:
    with sessions.begin() as session:
        token, _ = keys.create(session, owner="ada", scopes=[Scope.READ])
    with sessions.reading() as session:
        stored = str(session.execute(sa.select(ApiKey.__table__)).all())
    assert token.split("_", 2)[2] not in stored


@pytest.mark.parametrize(
    ("owner", "scopes"), [("", [Scope.READ]), ("a b", [Scope.READ]), ("a" * 41, [Scope.READ]), ("ada", [])]
)
def test_keys_that_make_no_sense(sessions: Sessions, owner: str, scopes: list[Scope]) -> None:
    with pytest.raises(InvalidInput), sessions.begin() as session:
        keys.create(session, owner=owner, scopes=scopes)


@pytest.mark.parametrize(
    "token", ["", "ng", "ng_12_ab", "sk_" + "0" * 12 + "_" + "a" * 43, "ng_" + "0" * 12 + "_" + "a" * 44]
)
def test_what_does_not_look_like_a_key(token: str) -> None:
    assert keys.split(token) is None


def test_owners_see_theirs_and_what_is_everybodys(sessions: Sessions) -> None:
    ada, bob, admin = sessions.of("ada"), sessions.of("bob"), sessions.of("root", sees_all=True)
    with sessions.begin() as session:
        ready_dataset(session, "shared", number=1)
    for owner, number in ((ada, 2), (bob, 3)):
        with owner.begin() as session:
            ready_dataset(session, "pets", number=number)
            queued_experiment(session, spec("pets"))
    for owner, count in ((ada, 2), (bob, 2), (admin, 3), (sessions, 3)):
        with owner.reading() as session:
            assert len(datasets.page(session, cursor=None, limit=10).items) == count
    with ada.reading() as session:
        assert datasets.get(session, "pets").owned_by == "ada"
        assert datasets.get(session, "shared").owned_by == ""
        (theirs,) = experiments.page(session, state=None, cursor=None, limit=10).items
        assert (theirs.owned_by, theirs.dataset.name if theirs.dataset else None) == ("ada", "pets")
    with pytest.raises(NotFound), bob.begin() as session:
        experiments.cancel(session, theirs.id)
    with bob.begin() as session:
        assert session.execute(sa.update(Dataset).values(licence="mine")).rowcount == 1  # type: ignore[attr-defined]
    with sessions.reading() as session:
        licences = session.scalars(sa.select(Dataset.licence).order_by(Dataset.owned_by)).all()
    assert licences == [None, None, "mine"]


def test_what_is_everybodys_is_changed_by_whoever_sees_all(sessions: Sessions, tmp_path: Path) -> None:
    ada, admin = sessions.of("ada"), sessions.of("root", sees_all=True)
    with sessions.begin() as session:
        shared, spare = ready_dataset(session, number=1).id, ready_dataset(session, "spare", number=2).id
    model, other = (served_model(sessions, Artefacts(tmp_path)) for _ in range(2))
    with sessions.begin() as session:
        waiting = queued_experiment(session, spec(executions=1, sweep={})).id
    changes: list[Callable[[Session], object]] = [
        lambda session: experiments.cancel(session, waiting),
        lambda session: models.delete_alias(session, "default"),
        lambda session: deletion.delete_model(session, model),
        lambda session: deletion.delete_experiment(session, waiting),
        lambda session: datasets.delete(session, spare),
        lambda session: setattr(session.get_one(Dataset, shared), "licence", "mine"),
        lambda session: models.point_alias(session, "default", other),
    ]
    for change in changes:
        with pytest.raises(NotYours), ada.begin() as session:
            change(session)
    with pytest.raises(NotYours), ada.begin() as session:
        deletion.plan_experiment(session, waiting)
    for change in changes:
        with admin.begin() as session:
            change(session)


def test_a_name_means_ones_own_first_for_whoever_sees_all(sessions: Sessions) -> None:
    with sessions.of("zoe").begin() as session:
        zoes = ready_dataset(session, "pets", number=1).id
    admin = sessions.of("root", sees_all=True)
    with admin.reading() as session:
        assert datasets.get(session, "pets").id == zoes
    with admin.begin() as session:  # the same images, and the same name: neither is zoe's
        upload = session.get_one(Dataset, zoes).upload_digest
        made = datasets.register(session, name="pets", source="upload", image_size=32, upload_digest=upload)
        assert made.created
        assert datasets.get(session, "pets").id == made.dataset.id


def test_what_another_owner_uses_stays_and_does_not_tell_of_them(sessions: Sessions) -> None:
    ada, admin = sessions.of("ada"), sessions.of("root", sees_all=True)
    with ada.begin() as session:
        dataset = ready_dataset(session, "pets", number=1).id
    with admin.begin() as session:
        others = queued_experiment(session, spec("pets")).id
    with pytest.raises(Conflict) as raised, ada.begin() as session:
        datasets.delete(session, dataset)
    assert others not in str(raised.value)


@pytest.mark.parametrize("found_out", ["when it is sent", "when it is ingested"])
def test_ones_own_name_for_what_is_everybodys_can_go(sessions: Sessions, found_out: str) -> None:
    ada = sessions.of("ada")
    with sessions.begin() as session:
        shared = ready_dataset(session, "shared", number=1)
    with ada.begin() as session:
        if found_out == "when it is sent":
            again = {"source": shared.source, "image_size": shared.image_size, "upload_digest": shared.upload_digest}
            assert not datasets.register(session, name="mine", **again).created  # type: ignore[arg-type]
        else:
            other = datasets.register(session, name="mine", source="upload", image_size=32, upload_digest="f" * 64)
            assert other.created
            claimed = ingestions.claim(session, other.dataset.id, owner="w1", lease_seconds=30)
            assert claimed is not None
            ingestions.record_ready(session, claimed[1], packed(1))
        assert datasets.get(session, "mine").id == shared.id
    with ada.begin() as session:
        assert datasets.delete(session, "mine") == []
    with ada.reading() as session:
        assert datasets.get(session, "shared").id == shared.id
        with pytest.raises(NotFound):
            datasets.get(session, "mine")


def test_an_alias_that_an_admin_moves_is_there_for_whom_its_model_is(sessions: Sessions, tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path)
    ada, bob, admin = sessions.of("ada"), sessions.of("bob"), sessions.of("root", sees_all=True)
    with sessions.begin() as session:
        ready_dataset(session)
    shared = served_model(sessions, artefacts)
    adas = served_model(ada, artefacts)
    for model, seen_by_bob in ((adas, False), (shared, True)):
        with admin.begin() as session:
            models.point_alias(session, "best", model)
        with bob.reading() as session:
            assert ("best" in [alias.name for alias in models.aliases(session)]) is seen_by_bob


def test_a_scope_of_a_newer_version_allows_nothing_and_harms_nothing(sessions: Sessions) -> None:
    with sessions.begin() as session:
        _, row = keys.create(session, owner="ada", scopes=[Scope.READ])
        row.scopes = ["read", "dance"]
    with sessions.reading() as session:
        assert keys.open_keys(session)[row.id].scopes == {Scope.READ}


def test_a_model_is_its_experiments_owners_and_names_are_one_for_all(sessions: Sessions) -> None:
    ada, bob = sessions.of("ada"), sessions.of("bob")
    for owner, number in ((ada, 1), (bob, 2)):
        with owner.begin() as session:
            ready_dataset(session, number=number)
            queued_experiment(session, spec(executions=1, sweep={}))
    ids: list[str] = []
    for number in (1, 2):
        with sessions.begin() as session:  # a worker's
            execution, _ = claim_one(session)
            models.register(session, execution.id, model_files(number), manifest(execution), keep="all")
            ids += session.scalars(sa.select(Model.id).where(Model.execution_id == execution.id))
    with ada.begin() as session:
        models.point_alias(session, "best", ids[0])
    with bob.begin() as session:
        with pytest.raises(NotFound):
            models.get(session, ids[0])
        with pytest.raises(NotFound):
            models.get(session, "best")
        with pytest.raises(Conflict, match="another owner"):
            models.point_alias(session, "best", ids[1])
    with sessions.reading() as session:
        assert [(alias.name, alias.owned_by) for alias in session.scalars(sa.select(Alias))] == [("best", "ada")]
