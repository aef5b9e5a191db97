"""GET /results/{id}/curves: the losses of all executions in one answer."""

import csv
import io
import math
import time
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from noisegate.client.answers import Curves
from noisegate.details import Details, EarlyStopping
from noisegate.store import executions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from noisegate.store.tables import Execution
from tests.factories import claim_one, failure, outcome
from tests.service.factories import post_experiment

SPEC: dict[str, Any] = {
    "dataset": "pets",
    "training": {"epochs": 3},
    "noise": {"family": "uniform"},
    "executions": 2,
    "sweep": {"noise.quantity": [5, 0]},
}


@pytest.fixture
def experiment(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> str:
    """Four executions: one with three epochs, one that stopped after two, one that failed, one that waits."""
    id = post_experiment(client, sessions, artefacts, SPEC)
    stopped = Details(early_stopping=EarlyStopping(best_epoch=1, holdout_losses=[0.5, None]))
    for result in (
        replace(outcome(0.8), losses_by_epoch=[3.0, 2.0, 1.0]),
        replace(outcome(0.7), losses_by_epoch=[2.5, 2.25], details=stopped),
    ):
        with sessions.begin() as session:
            _, lease = claim_one(session)
            executions.record_success(session, lease, result)
    with sessions.begin() as session:
        _, lease = claim_one(session)
        executions.record_failure(session, lease, failure())
    return id


def test_all_executions_are_there_with_their_losses(client: TestClient, experiment: str) -> None:
    found = client.get(f"/results/{experiment}/curves").json()
    assert [(cell["cell"], cell["point"]) for cell in found["cells"]] == [
        (0, {"noise.quantity": 5}),
        (1, {"noise.quantity": 0}),
    ]
    told = {
        (one["cell"], one["execution"]): (one["state"], one["losses"], one["holdout_losses"])
        for one in found["executions"]
    }
    assert sorted(map(str, told.values())) == sorted(
        map(
            str,
            [
                ("succeeded", [3.0, 2.0, 1.0], []),
                ("succeeded", [2.5, 2.25], [0.5, None]),
                ("failed", [], []),
                ("queued", [], []),
            ],
        )
    )
    assert list(told) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_frame_has_a_row_an_epoch(client: TestClient, experiment: str) -> None:
    frame = Curves.model_validate(client.get(f"/results/{experiment}/curves").json()).to_frame()
    assert list(frame.columns) == [
        "cell", "label", "noise.quantity", "execution", "seed", "state", "epoch", "loss", "holdout_loss"
    ]  # fmt: skip
    assert sorted(frame["loss"]) == [1.0, 2.0, 2.25, 2.5, 3.0]
    assert [math.isnan(value) for value in frame[frame["loss"] == 2.25]["holdout_loss"]] == [True]
    assert frame[frame["loss"] == 2.5]["holdout_loss"].item() == 0.5
    assert (
        frame.groupby(["cell", "execution"]).size().tolist()
        == frame.groupby(["cell", "execution"])["epoch"].max().tolist()
    )


def test_csv_and_parquet_have_the_same_rows(client: TestClient, experiment: str) -> None:
    path = f"/results/{experiment}/curves"
    text = client.get(path, headers={"Accept": "text/csv"})
    table = client.get(path, headers={"Accept": "application/vnd.apache.parquet"})
    assert text.headers["vary"] == table.headers["vary"] == "Accept"
    of_csv = list(csv.DictReader(io.StringIO(text.text)))
    of_parquet = pq.read_table(io.BytesIO(table.content)).to_pylist()
    assert len(of_csv) == 5
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in of_parquet] == of_csv
    assert {row["noise.quantity"] for row in of_csv} <= {"5", "0"}


def test_an_experiment_that_is_not_there(client: TestClient) -> None:
    assert client.get("/results/exp_nothing/curves").status_code == 404


def test_five_thousand_executions_are_one_frame_in_five_seconds(
    client: TestClient, sessions: Sessions, artefacts: Artefacts
) -> None:
    spec = SPEC | {"executions": 1, "sweep": {}}
    id = post_experiment(client, sessions, artefacts, spec)
    losses = [1 / epoch for epoch in range(1, 41)]
    with sessions.begin() as session:
        (only,) = session.scalars(sa.select(Execution)).all()
        columns = {column.key: getattr(only, column.key) for column in sa.inspect(Execution).mapper.column_attrs}
        ended = columns | {"state": State.SUCCEEDED, "losses_by_epoch": losses, "details": Details(measures={"a": 1.0})}
        many = [ended | {"id": f"exe_{n:05}", "position": n, "place": n} for n in range(1, 5000)]
        session.execute(sa.insert(Execution), many)
    began = time.process_time()
    frame = Curves.model_validate(client.get(f"/results/{id}/curves").json()).to_frame()
    assert len(frame) == 4999 * 40
    assert isinstance(frame, pd.DataFrame)
    assert time.process_time() - began < 5
