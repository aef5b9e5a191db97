"""Answers about experiments with many executions take no more statements than about small ones."""

import contextlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from tests.factories import failure, queued_experiment, spec
from tests.service.factories import ready_dataset

PATHS = ["/experiments", "/experiments?limit=100", "/experiments/{id}", "/experiments/{id}/executions?limit=100"]


@contextlib.contextmanager
def statements(engine: sa.Engine) -> Iterator[dict[object, list[str]]]:
    """The statements that are executed inside the block, by connection: the service looks for new keys now and then."""
    seen: dict[object, list[str]] = {}

    def note(connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.setdefault(connection, []).append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", note)


def failed_experiment(sessions: Sessions, executions: int) -> str:
    """An experiment of ten cells, every execution of which has failed."""
    wanted = spec(executions=executions // 10, sweep={"noise.quantity": list(range(10))})
    with sessions.begin() as session:
        experiment = queued_experiment(session, wanted)
        of_it = Execution.experiment_id == experiment.id
        session.execute(sa.update(Execution).where(of_it).values(state=State.FAILED, error=failure("diverged")))
        session.execute(sa.update(Experiment).where(Experiment.id == experiment.id).values(state=State.FAILED))
        return experiment.id


@pytest.fixture
def counted(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> dict[int, dict[str, int]]:
    """Statements by path: with one experiment of ten executions, then with five more of three hundred."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    engine = client.app_state["resources"].sessions.engine
    counts: dict[int, dict[str, int]] = {}
    for executions, experiments in ((10, 1), (300, 5)):
        id = [failed_experiment(sessions, executions) for _ in range(experiments)][-1]
        counts[executions] = {}
        for path in PATHS:
            with statements(engine) as seen:
                answer = client.get(path.format(id=id))
            assert answer.status_code == 200
            counts[executions][path] = max(map(len, seen.values()))
    return counts


def test_the_number_of_statements_does_not_grow(counted: dict[int, dict[str, int]]) -> None:
    assert counted[10] == counted[300]
    assert max(counted[300].values()) <= 6


def test_each_failed_experiment_tells_its_own_first_error(
    client: TestClient, sessions: Sessions, artefacts: Artefacts
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    ids = [failed_experiment(sessions, 20) for _ in range(3)]
    with sessions.begin() as session:
        for number, id in enumerate(ids):
            second = sa.and_(Execution.experiment_id == id, Execution.place == 1)
            session.execute(sa.update(Execution).where(second).values(error=failure(detail=f"second {number}")))
            first = sa.and_(Execution.experiment_id == id, Execution.place == 0)
            first_error = failure(detail=f"first {number}", worker=f"w{number}")
            session.execute(sa.update(Execution).where(first).values(error=first_error))
        session.execute(sa.update(Experiment).where(Experiment.id == ids[2]).values(error=failure("deadline-passed")))
    found = {item["id"]: item["error"] for item in client.get("/experiments").json()["items"]}
    assert [(found[id]["detail"], found[id]["worker"]) for id in ids[:2]] == [("first 0", "w0"), ("first 1", "w1")]
    assert (found[ids[2]]["code"], found[ids[2]]["worker"]) == ("deadline-passed", None), (
        "why it was cancelled goes first"
    )
