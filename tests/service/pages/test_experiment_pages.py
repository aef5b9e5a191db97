"""Experiments as pages: the numbers are those of the JSON routes."""

import re

import numpy as np
import pytest
import sqlalchemy as sa

from noisegate.details import Details, EarlyStopping
from noisegate.store import executions
from service.results.losses import loss_curves
from tests.factories import claim_one
from tests.service.pages.conftest import House, Parsed


def test_the_results_table_has_the_numbers_of_the_api(house: House) -> None:
    id = house.ids["experiment"]
    shown = {"Authorization": f"Bearer {house.tokens['ada']}"}
    rows = house.client.get(f"/results/{id}", headers=shown).json()["rows"]
    text = re.sub(r"\s+", " ", Parsed(house.get(f"/ui/experiments/{id}").text).text)
    assert [row["n"] for row in rows] == [2, 1]
    for row in rows:
        accuracy = row["accuracy"]
        error = "" if accuracy["standard_error"] is None else f" ± {100 * accuracy['standard_error']:.2f}"
        assert f"{100 * accuracy['mean']:.2f}{error}" in text
    assert "3 of 4 executions succeeded" in text
    part = house.get(f"/ui/experiments/{id}/results").text
    assert Parsed(part).text.strip() in Parsed(house.get(f"/ui/experiments/{id}").text).text


def test_a_cell_lists_its_executions(house: House) -> None:
    page = Parsed(house.get(f"/ui/experiments/{house.ids['experiment']}/cells/1").text)
    assert page.text.count("succeeded") == 1
    assert page.text.count("queued") == 1
    assert house.get(f"/ui/experiments/{house.ids['experiment']}/cells/2").status_code == 404


def test_losses_are_means_with_errors_over_executions(house: House) -> None:
    shown = {"Authorization": f"Bearer {house.tokens['ada']}"}
    found = house.client.get(f"/results/{house.ids['experiment']}/losses", headers=shown).json()["items"]
    assert [(one["cell"], one["n"], one["mean"]) for one in found] == [(0, [2, 2], [1.0, 0.5]), (1, [1, 1], [1.0, 0.5])]
    assert [one["standard_error"] for one in found] == [[0.0, 0.0], [None, None]]


def test_losses_of_executions_that_stopped_early() -> None:
    runs = [[3.0, 2.0, 1.0], [5.0, 4.0], [4.0]]
    (curve,) = loss_curves([(0, run) for run in runs], {0: "all"}).items
    assert curve.n == [3, 2, 1]
    assert curve.mean == pytest.approx([4.0, 3.0, 1.0])
    expected = [np.std([3, 5, 4], ddof=1) / np.sqrt(3), np.std([2, 4], ddof=1) / np.sqrt(2)]
    assert curve.standard_error[:2] == pytest.approx(expected)
    assert curve.standard_error[2] is None


def test_what_trains_now_shows_its_losses(house: House) -> None:
    sessions = house.client.app_state["resources"].sessions.of("ada")
    with sessions.begin() as session:
        execution, lease = claim_one(session)
        id = execution.experiment_id
    stopping = EarlyStopping(best_epoch=1, holdout_losses=[0.75])
    progress = {"epochs_done": 1, "losses_by_epoch": [0.512345], "details": Details(early_stopping=stopping)}
    try:
        with sessions.begin() as session:
            executions.renew_all(session, [lease], 60, {lease.id: progress})
        page = Parsed(house.get(f"/ui/experiments/{id}/progress").text)
        (row,) = (found for found in page.all("tr") if "data-running" in found)
        assert (row["data-losses"], row["data-holdout"], row["data-epoch"]) == ("[0.512345]", "[0.75]", "1")
        assert "0.512" in page.text
        curves = house.client.get(f"/results/{id}/curves", headers=_as_ada(house)).json()["executions"]
        assert [(one["losses"], one["holdout_losses"]) for one in curves if one["state"] == "running"] == [
            ([0.512345], [0.75])
        ]
        means = house.client.get(f"/results/{id}/losses", headers=_as_ada(house)).json()["items"]
        assert 0.512345 not in [value for one in means for value in one["mean"]], "means are of those that have ended"
    finally:
        with sessions.begin() as session:
            executions.release(session, lease)


def _as_ada(house: House) -> dict[str, str]:
    return {"Authorization": f"Bearer {house.tokens['ada']}"}


def test_a_list_takes_a_fixed_number_of_statements(house: House) -> None:
    statements: list[str] = []
    engine = house.client.app_state["resources"].sessions.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    house.get("/ui/experiments")
    assert 3 < len(statements) <= 8, "however many experiments there are"
