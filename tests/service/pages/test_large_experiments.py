"""An experiment of many executions: its page does not wait for its table, and the table is put together once."""

import re
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.spec.caps import Caps
from noisegate.store import planning
from noisegate.store.states import State
from noisegate.store.tables import Alias, Cell, Execution, Experiment, Model
from tests.factories import outcome, spec
from tests.service.factories import ready_dataset, served_model
from tests.service.pages.conftest import HTML, Parsed

CELLS, EXECUTIONS = 12, 100


@pytest.fixture
def large(client: TestClient) -> str:
    """The id of an experiment whose 1,200 executions have all succeeded."""
    resources = client.app_state["resources"]
    sweep = {"noise.quantity": [number / 10 for number in range(CELLS)]}
    with resources.sessions.begin() as session:
        ready_dataset(session, resources.artefacts)
        wanted = planning.plan(session, spec(executions=EXECUTIONS, sweep=sweep), Caps())
        id = planning.create(session, wanted).id
    with resources.sessions.begin() as session:
        ended = {"state": State.SUCCEEDED, "epochs_done": Execution.epochs, **vars(outcome(0.75))}
        session.execute(sa.update(Execution).where(Execution.experiment_id == id).values(**ended))
    return id


@pytest.fixture
def statements(client: TestClient) -> Callable[[str], int]:
    """Counts the statements that a page takes."""
    counted: list[str] = []
    engine = client.app_state["resources"].sessions.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *args: counted.append(args[2]))

    def count(path: str) -> int:
        counted.clear()
        assert client.get(path, headers=HTML).status_code == 200
        return len(counted)

    return count


def test_its_page_comes_first_and_its_table_after_it(
    client: TestClient, large: str, statements: Callable[[str], int]
) -> None:
    page = client.get(f"/ui/experiments/{large}", headers=HTML).text
    assert f'hx-get="/ui/experiments/{large}/results"' in page
    text = re.sub(r"\s+", " ", Parsed(page).text)
    assert "1,200 of 1,200 executions succeeded" in text
    assert "75.00" not in text
    assert Parsed(client.get(f"/ui/experiments/{large}/results", headers=HTML).text).text.count("75.00") == CELLS
    assert statements(f"/ui/experiments/{large}") <= 14, "however many executions there are"
    assert statements(f"/ui/experiments/{large}/progress") <= 12
    assert statements("/ui") <= 30


def test_its_table_is_put_together_once(client: TestClient, large: str, statements: Callable[[str], int]) -> None:
    first = client.get(f"/results/{large}").json()
    once = statements(f"/results/{large}")
    assert client.get(f"/results/{large}").json() == first
    assert once <= 6, "the executions are not read again"
    resources = client.app_state["resources"]
    with resources.sessions.begin() as session:
        # As the end of one more execution enters it.
        session.execute(sa.update(Experiment).where(Experiment.id == large).values(last_event=99))
        one = session.scalars(sa.select(Execution).where(Execution.experiment_id == large)).first()
        assert one
        one.state = State.FAILED
    again = client.get(f"/results/{large}").json()
    assert sum(row["n"] for row in again["rows"]) == CELLS * EXECUTIONS - 1


def test_its_models_are_those_of_now(client: TestClient, large: str) -> None:
    resources = client.app_state["resources"]
    kept = served_model(resources.sessions, resources.artefacts)
    with resources.sessions.begin() as session:
        for alias in session.scalars(sa.select(Alias)):
            session.delete(alias)
        model = session.get_one(Model, kept)
        execution = session.scalars(sa.select(Execution).where(Execution.experiment_id == large)).first()
        assert execution
        model.experiment_id, model.cell_id, model.execution_id = large, execution.cell_id, execution.id

    def best() -> list[str | None]:
        return [row["best_model"] for row in client.get(f"/results/{large}").json()["rows"]]

    assert kept in best()
    assert kept in best()
    with resources.sessions.begin() as session:
        session.delete(session.get_one(Model, kept))
    assert set(best()) == {None}


def test_of_one_more_execution_its_cell_alone_is_read(client: TestClient, large: str) -> None:
    resources = client.app_state["resources"]
    client.get(f"/results/{large}")
    with resources.sessions.begin() as session:
        session.execute(sa.update(Experiment).where(Experiment.id == large).values(last_event=99))
        of_cell = sa.select(Execution).join(Execution.cell).where(Execution.experiment_id == large, Cell.position == 3)
        one = session.scalars(of_cell).first()
        assert one
        one.state = State.FAILED
    read: list[tuple[object, ...]] = []
    engine = resources.sessions.engine
    sa.event.listen(
        engine, "before_cursor_execute", lambda *args: read.append(args[3]) if "executions.metrics" in args[2] else None
    )
    rows = client.get(f"/results/{large}").json()["rows"]
    assert [(row["n"], row["failed"]) for row in rows] == [
        (EXECUTIONS - (cell == 3), int(cell == 3)) for cell in range(CELLS)
    ]
    ((_, _, *positions),) = read
    assert positions == [3]


def test_lists_do_not_read_all_executions_again(
    client: TestClient, large: str, statements: Callable[[str], int]
) -> None:
    resources = client.app_state["resources"]
    with resources.sessions.begin() as session:
        session.execute(sa.update(Experiment).where(Experiment.id == large).values(state=State.SUCCEEDED))
        best = sa.select(Cell.id).where(Cell.experiment_id == large, Cell.position == 5).scalar_subquery()
        better = vars(outcome(0.85))["metrics"]
        session.execute(sa.update(Execution).where(Execution.cell_id == best).values(metrics=better))
    page = Parsed(client.get("/ui/experiments", headers=HTML).text).text
    assert "85.00" in page
    assert "noise.quantity=0.5" in page
    assert statements("/ui/experiments") <= 6
    with resources.sessions.begin() as session:
        session.execute(sa.update(Execution).where(Execution.cell_id == best).values(state=State.FAILED))
    assert "75.00" in Parsed(client.get("/ui/experiments", headers=HTML).text).text
