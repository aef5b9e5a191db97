"""A kind of experiment that one module adds at run time: posted, planned, run, read and drawn with no other file touched."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import Field
from starlette.testclient import TestClient

from noisegate.details import Details
from noisegate.spec import FORMAT, KINDS, DatasetFacts, ExperimentBase
from noisegate.spec.caps import Caps, Requested
from noisegate.store import experiments
from noisegate.store.artefacts import Artefacts
from noisegate.store.executions import ExecutionResult
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Execution
from noisegate.store.wakeups import Wakeups
from service.results.figures import KIND_FIGURES
from service.results.figures.entry import FigureData, one_figure
from service.results.figures.page import Legend, compose, new_figure
from service.results.schemas import Results
from worker.kinds import RUNNERS
from worker.kinds.runner import Work, one_by_one
from worker.recording import FinishedExecution
from worker.resources import Resources
from worker.training import train_oldest


class CoinExperiment(ExperimentBase):
    """Toss a coin."""

    kind: Literal["coin"] = "coin"
    tosses: int = Field(10, ge=1)

    def requested(self, caps: Caps) -> Iterator[Requested]:
        yield from super().requested(caps)
        yield Requested("tosses", self.tosses, caps.points)

    def training_images(self, dataset: DatasetFacts | None) -> int:
        assert dataset is None
        return self.tosses


def toss(work: Work[CoinExperiment], execution: Execution) -> FinishedExecution:
    work.check()
    heads = np.random.default_rng(execution.seed).integers(0, 2, work.spec.tosses)
    details = Details(measures={"heads": float(heads.mean())}, figure={"tosses": heads.tolist()})
    return FinishedExecution(ExecutionResult(details=details, train_seconds=0.1, device="cpu", versions={}))


def draw_tosses(results: Results, title: str, data: FigureData) -> Any:
    figure = new_figure()
    axes = figure.subplots()
    for cell, found in data.items():
        axes.plot([sum(one["tosses"]) for one in found], label=str(cell))
    return compose(figure, results, title, inches=(6, 3), legend=Legend())


SPEC: dict[str, Any] = {"kind": "coin", "executions": 3, "sweep": {"tosses": [40, 90]}}


@pytest.fixture
def resources(settings: Settings, sessions: Sessions, artefacts: Artefacts, wakeups: Wakeups) -> Resources:
    return Resources(settings, sessions, artefacts, wakeups, worker="test")


@pytest.fixture
def coin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "coin", CoinExperiment)
    monkeypatch.setitem(RUNNERS, "coin", one_by_one(toss))


def run(client: TestClient, resources: Resources) -> str:
    posted = client.post("/experiments", json=SPEC)
    assert posted.status_code == 202, posted.json()
    for _ in range(posted.json()["executions"]):
        train_oldest(resources)
    id: str = posted.json()["id"]
    return id


@pytest.mark.usefixtures("coin")
def test_it_goes_from_post_to_results(client: TestClient, resources: Resources, sessions: Sessions) -> None:
    id = run(client, resources)
    found = client.get(f"/experiments/{id}").json()
    assert (found["state"], found["name"], found["spec"]["kind"]) == ("succeeded", "coin: 2 cells", "coin")
    results = client.get(f"/results/{id}").json()
    assert (results["kind"], results["dataset"]) == ("coin", None)
    for row, tosses in zip(results["rows"], (40, 90), strict=True):
        expected = [np.random.default_rng(seed).integers(0, 2, tosses).mean() for seed in row["seeds"]]
        assert (row["n"], row["measures"]["heads"]["mean"]) == (3, pytest.approx(np.mean(expected)))
    with sessions.reading() as session:
        assert experiments.get(session, id).format == FORMAT, "workers that were written before it leave it alone"


@pytest.mark.usefixtures("coin")
def test_it_is_planned_and_limited_like_any_other(client: TestClient) -> None:
    plan = client.post("/experiments?dry_run=true", json=SPEC).json()
    assert (plan["executions"], plan["training_images"]) == (6, 3 * (40 + 90))
    assert [cell["training_images"] for cell in plan["cells"]] == [40, 90]
    refused = client.post("/experiments", json={"kind": "coin", "tosses": 200_001})
    assert [error["field"] for error in refused.json()["errors"]] == ["tosses"]
    refused = client.post("/experiments", json=SPEC | {"sweep": {"tosses": [1, 0]}})
    assert [error["field"] for error in refused.json()["errors"]] == ["sweep.tosses"]


@pytest.mark.usefixtures("coin")
def test_without_figures_of_its_own_it_has_one_of_its_measures(client: TestClient, resources: Resources) -> None:
    id = run(client, resources)
    (listed,) = client.get(f"/results/{id}/figures").json()["items"]
    assert (listed["name"], listed["title"]) == ("measures", "All measures")
    drawn = client.get(listed["svg"])
    assert drawn.status_code == 200
    assert "tosses=90: heads 0." in drawn.text
    ET.fromstring(drawn.content)


@pytest.mark.usefixtures("coin")
def test_figures_of_its_own_are_drawn_from_what_its_executions_left(
    client: TestClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = run(client, resources)
    monkeypatch.setitem(KIND_FIGURES, "coin", one_figure("tosses", "All tosses", draw_tosses, needs_data=True))
    (listed,) = client.get(f"/results/{id}/figures").json()["items"]
    assert (listed["name"], listed["title"]) == ("tosses", "All tosses")
    assert client.get(listed["png"]).content.startswith(b"\x89PNG")


def test_before_and_after_it_is_a_problem_that_names_the_kind(client: TestClient) -> None:
    refused = client.post("/experiments", json=SPEC)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["field"], error["message"]) == ("kind", "there is no 'coin'")
    assert error["remedy"] == "There are: training, hybrids, open_set, curve_fitting, decision_map, pretrained."
