"""GET /results/{id}/open_set and /results/{id}/samples.parquet: tables, files, and what other kinds are told."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats
from starlette.testclient import TestClient

from noisegate.details import Details
from noisegate.evaluation.open_set import Judged
from noisegate.evaluation.samples import SampleTable
from noisegate.open_set import OpenSetFound, ScoreFound, SelectionFound, UnknownFound
from noisegate.spec import parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import executions, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.prerequisites import usable_dataset
from noisegate.store.sessions import Sessions
from tests.factories import claim_one, outcome
from tests.service.factories import ready_dataset

CLASSES = ("cat", "dog", "eel")
SPLITS = [["cat", "dog"], ["dog", "eel"], ["cat", "eel"]]
# AUROC of each execution: noise, split, number.
AUROCS = {None: [[0.6, 0.62], [0.7, 0.74], [0.8, 0.81]], "uniform": [[0.7, 0.73], [0.79, 0.8], [0.92, 0.9]]}


# Two images by two scores.
JUDGED = Judged(
    unknownness={"knn": np.array([0.25, 0.5]), "reject_score": np.array([0.1, 0.9])},
    rejected={"reject_score": np.array([False, True])},
    called=np.array([0, 1]),
    given=np.array([0, 1]),
    probability=np.array([0.9, 0.8]),
    decided=np.array([False, True]),
)


def found(auroc: float, known: Sequence[str]) -> OpenSetFound:
    shares = dict.fromkeys(ScoreFound.model_fields, 0.5) | {"auroc": auroc}
    selection = SelectionFound(aurc=0.1, augrc=0.05, excess_aurc=0.02, false_reject=0.04, risk=0.03)
    return OpenSetFound(
        known=list(known),
        held_out=[name for name in CLASSES if name not in known],
        known_images=40,
        selection={"knn": selection},
        unknown=[UnknownFound(name="held_out", distance="near", images=20, scores={"knn": ScoreFound(**shares)})],
    )


def samples(known: Sequence[str]) -> bytes:
    table = SampleTable(known)
    table.add("known", np.array([7, 8]), list(known), JUDGED)
    return table.to_parquet()


@pytest.fixture
def experiment(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> str:
    """Two noises by three splits, two executions each, all ended."""
    wanted = {
        "kind": "open_set",
        "dataset": "creatures",
        "known": SPLITS[0],
        "executions": 2,
        "sweep": {"noise": [None, {"family": "uniform"}], "known": SPLITS},
    }
    with sessions.begin() as session:
        ready_dataset(session, artefacts, "creatures", classes=CLASSES)
    with sessions.begin() as session:
        dataset = session.merge(usable_dataset(session, "creatures"))
        dataset.counts = {"train": dict.fromkeys(CLASSES, 200), "test": dict.fromkeys(CLASSES, 20)}
        id = planning.create(session, planning.plan(session, parse_spec(wanted), Caps())).id
    for _ in range(12):
        with sessions.begin() as session:
            execution, lease = claim_one(session)
            noise = execution.cell.point["noise"]
            known = execution.cell.point["known"]
            auroc = AUROCS[noise and noise["family"]][SPLITS.index(known)][execution.position]
            result = replace(outcome(), details=Details(open_set=found(auroc, known)))
            digest = artefacts.put_bytes(samples(known))
            executions.record_success(session, lease, result, samples_digest=digest)
    return id


def rows_of(answer: dict[str, Any], table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = answer[table]
    return rows


def test_a_row_a_cell_and_one_over_splits(client: TestClient, experiment: str) -> None:
    answer = client.get(f"/results/{experiment}/open_set").json()
    assert [split["known"] for split in answer["splits"]] == [*SPLITS, *SPLITS]
    rows = rows_of(answer, "rows")
    assert [(row["cell"], row["n"], row["splits"]) for row in rows] == [(cell, 2, 1) for cell in range(6)]
    assert rows[1]["auroc"]["mean"] == pytest.approx(0.72)
    plain, noisy = rows_of(answer, "over_splits")
    values = np.array(AUROCS[None]).ravel()
    assert (plain["cell"], plain["splits"], plain["n"], plain["point"]) == (None, 3, 6, {"noise": None})
    assert plain["auroc"]["mean"] == pytest.approx(values.mean())
    assert plain["auroc"]["standard_error"] == pytest.approx(stats.sem(values))
    assert (plain["difference"], noisy["point"]) == (None, {"noise": {"family": "uniform"}})


def test_cells_are_compared_pair_by_pair_of_splits_and_executions(client: TestClient, experiment: str) -> None:
    _, noisy = rows_of(client.get(f"/results/{experiment}/open_set").json(), "over_splits")
    ours, theirs = (np.array(AUROCS[name]).ravel() for name in ("uniform", None))
    expected = stats.ttest_rel(ours, theirs)
    difference = noisy["difference"]
    assert difference["pairs"] == 6
    assert difference["mean"] == pytest.approx((ours - theirs).mean())
    assert difference["p_value"] == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (difference["low"], difference["high"]) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert "AUROC is 9.50 points higher than the baseline in 6 pairs" in difference["sentence"]


def test_the_same_rows_as_csv_and_parquet(client: TestClient, experiment: str) -> None:
    path = f"/results/{experiment}/open_set"
    answer = client.get(path).json()
    expected = [row["auroc"]["mean"] for row in [*answer["rows"], *answer["over_splits"]]]
    text = client.get(path, headers={"Accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    assert [float(row["auroc"]) for row in csv.DictReader(io.StringIO(text.text))] == pytest.approx(expected)
    file = client.get(path, headers={"Accept": "application/vnd.apache.parquet"}).content
    table = pq.read_table(io.BytesIO(file))
    assert table.column("auroc").to_pylist() == pytest.approx(expected)
    assert table.column("cell").to_pylist() == [*range(6), None, None]


def test_scores_of_single_images_in_one_file(client: TestClient, experiment: str) -> None:
    path = f"/results/{experiment}/samples.parquet"
    table = pq.read_table(io.BytesIO(client.get(path).content))
    assert len(table) == 12 * 2
    assert table.column_names[:4] == ["cell", "execution", "set", "image"]
    first = table.slice(0, 2).to_pylist()
    assert [(row["image"], row["called"], row["correct"], row["knn"]) for row in first] == [
        (7, "cat", True, 0.25),
        (8, "dog", True, 0.5),
    ]
    assert [row["reject_score_rejects"] for row in first] == [False, True]
    one = pq.read_table(io.BytesIO(client.get(path, params={"cell": 4, "execution": 1}).content))
    assert set(zip(one["cell"].to_pylist(), one["execution"].to_pylist(), strict=True)) == {(4, 1)}
    tag = client.get(path).headers["ETag"]
    again = client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, params={"cell": 4}, headers={"If-None-Match": tag}).status_code == 200
    nothing = client.get(path, params={"cell": 99})
    assert (nothing.status_code, "no scores of single images" in nothing.text) == (404, True)


def test_other_kinds_are_told_what_to_post(client: TestClient, model: str) -> None:
    experiment = client.get(f"/models/{model}").json()["experiment"]
    for path in ("open_set", "samples.parquet"):
        answer = client.get(f"/results/{experiment}/{path}")
        assert (answer.status_code, "open_set" in answer.json()["errors"][0]["remedy"]) == (404, True), answer.text
        assert client.get(f"/results/exp_nothing/{path}").status_code == 404
