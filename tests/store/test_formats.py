"""Experiments of a newer spec format than this code's: left to newer workers."""

import sqlalchemy as sa

from noisegate.spec import FORMAT
from noisegate.store import claims, executions
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
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
