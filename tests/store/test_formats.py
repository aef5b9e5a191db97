"""Experiments, uploads and artefacts of a newer format than this code's: left to newer workers."""

import sqlalchemy as sa

from noisegate.spec import FORMAT
from noisegate.store import claims, datasets, derivations, executions, ingestions
from noisegate.store.sessions import Sessions
from noisegate.store.states import DatasetState, DerivedState, State
from noisegate.store.tables import Dataset, Derived, Execution, Experiment
from tests import factories


def claimed_by(sessions: Sessions, capacity: int = 1) -> list[str]:
    with sessions.begin() as session:
        granted = claims.claim(session, owner="w/1", lease_seconds=30, capacity=capacity)
        return [execution.experiment_id for execution, _ in claims.rows_of(session, granted)] if granted else []


def test_a_claim_takes_what_this_code_understands_and_leaves_the_rest_as_it_is(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        newer, ours = (factories.queued_experiment(session).id for _ in range(2))
        session.execute(sa.update(Experiment).where(Experiment.id == newer).values(format=FORMAT + 1))
        count = executions.count_waiting(session, most=99)
    assert count == 4, "the newer one's do not wait for this worker"
    assert [claimed_by(sessions, 2), claimed_by(sessions, 2)] == [[ours] * 2] * 2
    assert claimed_by(sessions) == []
    with sessions.reading() as session:
        left = session.scalars(sa.select(Execution).where(Execution.experiment_id == newer)).all()
        assert {(row.state, row.attempt, row.error) for row in left} == {(State.QUEUED, 0, None)}
        assert session.get_one(Experiment, newer).state is State.QUEUED


def test_one_newer_cell_makes_the_experiment_newer(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        known = factories.queued_experiment(session, factories.spec(sweep={"network": ["paper"]}))
        newer = factories.queued_experiment(session, factories.spec(sweep={"network": ["paper", "compact"]}))
        assert (known.format, newer.format) == (1, FORMAT)
    assert claimed_by(sessions) == [known.id]


def test_what_is_in_an_upload_only_the_newest_workers_know_for_certain(sessions: Sessions) -> None:
    with sessions.begin() as session:
        digits = datasets.register(session, name="digits", source="digits", image_size=32, upload_digest=None).dataset
        sent = datasets.register(
            session, name="pets", source="upload", image_size=32, upload_digest=factories.digest(1)
        ).dataset
        assert (digits.format, sent.format) == (1, FORMAT)


def test_an_upload_to_a_newer_service_waits_for_a_newer_worker(sessions: Sessions) -> None:
    with sessions.begin() as session:
        newer, ours = (
            datasets.register(
                session, name=f"pets {number}", source="upload", image_size=32, upload_digest=factories.digest(number)
            ).dataset
            for number in range(2)
        )
        newer.format = FORMAT + 1
    with sessions.begin() as session:
        assert ingestions.claim(session, newer.id, owner="w/1", lease_seconds=30) is None
        claimed = ingestions.claim(session, None, owner="w/1", lease_seconds=30)
        assert claimed is not None
        assert claimed[0].id == ours.id, "not the one that has waited longest"
        assert ingestions.claim(session, None, owner="w/1", lease_seconds=30) is None
        left = session.get_one(Dataset, newer.id)
        assert (left.state, left.attempt, left.error) == (DatasetState.INGESTING, 0, None)


def test_an_artefact_of_a_newer_service_waits_for_a_newer_worker(sessions: Sessions) -> None:
    with sessions.begin() as session:
        factories.ready_dataset(session)
        for image_size in (48, 64):
            factories.queued_experiment(session, factories.spec(image_size=image_size))
        newer, ours = session.scalars(sa.select(Derived).order_by(Derived.id)).all()
        assert {newer.format, ours.format} == {FORMAT}
        newer.format = FORMAT + 1
    with sessions.begin() as session:
        assert derivations.claim(session, newer.id, owner="w/1", lease_seconds=30) is None
        claimed = derivations.claim(session, None, owner="w/1", lease_seconds=30)
        assert claimed is not None
        assert claimed[0].id == ours.id
        assert derivations.claim(session, None, owner="w/1", lease_seconds=30) is None
        left = session.get_one(Derived, newer.id)
        assert (left.state, left.attempt, left.error) == (DerivedState.WAITING, 0, None)
