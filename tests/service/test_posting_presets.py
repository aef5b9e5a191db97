"""POST /experiments with presets, subgroups and kinds: what is created, and how the impossible is refused."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.presets import catalogue
from noisegate.store import datasets
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.states import State
from noisegate.store.tables import Experiment, utc_now
from noisegate.store.wakeups import Wakeups
from tests.factories import write_json
from tests.service.factories import ready_dataset

HALF = {"correct": "hc", "wrong": "hs", "fraction": 0.5}
SMALL = {"training": {"epochs": 1, "batch_size": 8}}


@pytest.fixture
def client(wakeups: Wakeups, sessions: Sessions, artefacts: Artefacts, client: TestClient) -> TestClient:
    """The application with a ready dataset, `pets`, of two classes with 50 training images each."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    return client


def test_a_preset_is_posted_by_name_and_what_stands_beside_it_wins(client: TestClient) -> None:
    body = {"preset": "figure-9", "scale": "smoke", "dataset": "pets", "executions": 2, "training": {"epochs": 7}}
    answer = client.post("/experiments", json=body)
    assert answer.status_code == 202, answer.json()
    found = answer.json()
    assert (found["preset"], found["scale"]) == ("figure-9", "smoke")
    assert found["dataset"]["name"] == "pets"
    assert (found["spec"]["executions"], found["spec"]["training"]["epochs"]) == (2, 7)
    assert found["spec"]["training"]["batch_size"] == 16, "training is merged field by field"
    assert len(found["cells"]) == 12
    results = client.get(f"/results/{found['id']}").json()
    assert results["preset"]["source"].startswith("Figure 9")
    by_label = {row["label"]: row["published"] for row in results["rows"]}
    assert by_label["no noise"]["accuracy"] == pytest.approx(0.7467)


def test_results_outlive_the_preset_they_came_from(client: TestClient, sessions: Sessions) -> None:
    id = client.post("/experiments", json={"preset": "baseline", "scale": "smoke", "dataset": "pets"}).json()["id"]
    with sessions.begin() as session:
        session.get_one(Experiment, id).preset = "of-a-later-version"
    found = client.get(f"/results/{id}")
    assert found.status_code == 200
    assert (found.json()["preset"], found.json()["rows"][0]["published"]) == (None, None)


def test_a_plan_counts_the_base_execution_of_subgroups(client: TestClient) -> None:
    body = {"dataset": "pets", "executions": 2, "holdout": 0, "subgroup": HALF} | SMALL
    plan = client.post("/experiments?dry_run=true", json=body | {"noise": {"family": "uniform"}}).json()
    assert (plan["base"], plan["executions"], plan["cell_count"]) == (True, 3, 1)
    created = client.post("/experiments", json=body | {"noise": {"family": "uniform"}}).json()
    assert [(cell["label"], cell["is_base"]) for cell in created["cells"]] == [("all", False), ("base", True)]
    waiting = client.get(f"/experiments/{created['id']}/executions").json()["items"]
    (base,) = [execution["id"] for execution in waiting if execution["cell"] == 1]
    assert [execution["depends_on"] for execution in waiting if execution["cell"] == 0] == [base, base]
    assert len(client.get(f"/results/{created['id']}").json()["rows"]) == 1, "the base is no row of the table"


def test_a_kind_without_a_dataset_has_none(client: TestClient) -> None:
    found = client.post("/experiments", json={"kind": "decision_map", "sweep": {"noise_quantity": [0, 5]}}).json()
    assert found["dataset"] is None
    listed = client.get("/experiments").json()["items"]
    assert [experiment["id"] for experiment in listed] == [found["id"]]
    results = client.get(f"/results/{found['id']}").json()
    assert (results["kind"], results["dataset"], results["baseline_cell"]) == ("decision_map", None, 0)


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"preset": "figure-99"}, "preset", "figure-9, figure-10"),
        ({"preset": ["table-2"]}, "preset", "table-2"),
        ({"preset": "figure-9", "scale": "huge"}, "scale", "paper, quick, smoke"),
        ({"preset": "figure-9", "scale": "smoke", "epoch": 3}, "epoch", "spelling"),
        ({"dataset": "pets", "noise": {"family": "gaussian", "std": -1}}, "noise.std", "at least 0"),
        (
            {"dataset": "pets", "noise": {"family": "gaussian", "filter": {"kind": "mean", "size": 4}}},
            "noise.filter.size",
            "",
        ),
        ({"dataset": "pets", "subgroup": HALF | {"fraction": 0.05}}, "subgroup.fraction", "larger share"),
        ({"dataset": "pets", "subgroup": HALF, "base": {"experiment": "exp_0"}}, "base", "executions"),
        ({"kind": "hybrids", "dataset": "pets", "hybrids": {"classes": ["cat", "cow"]}}, "hybrids.classes", "cat, dog"),
        ({"kind": "painting"}, "kind", ""),
    ],
)
def test_the_impossible_is_refused_with_the_field_and_a_remedy(
    client: TestClient, body: dict[str, Any], field: str, words: str
) -> None:
    answer = client.post("/experiments", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert words in (error["remedy"] or "")
    assert client.get("/experiments").json()["items"] == []


def test_an_unknown_preset_is_answered_with_all_there_are(client: TestClient) -> None:
    (error,) = client.post("/experiments", json={"preset": "nonsense"}).json()["errors"]
    assert all(name in error["remedy"] for name in catalogue.names())


def test_a_standard_deviation_of_0_is_allowed(client: TestClient) -> None:
    body = {"dataset": "pets", "noise": {"family": "gaussian", "std": 0}} | SMALL
    assert client.post("/experiments", json=body).status_code == 202


def test_recommended_says_what_it_chose_when_planned_and_when_posted(client: TestClient, sessions: Sessions) -> None:
    body = {"preset": "recommended", "dataset": "pets"}
    before = client.post("/experiments?dry_run=true", json=body).json()
    assert before["choice"]["name"] == "paper_few"
    assert "100 training images, fewer than 5,000" in before["choice"]["reason"]
    assert (before["spec"]["network"], before["spec"]["training"]["batch_size"]) == ("paper", 16)
    with sessions.begin() as session:
        pets = datasets.get(session, "pets")
        pets.originals_digest, pets.longer_side = "e" * 64, 640
    plan = client.post("/experiments?dry_run=true", json=body).json()
    assert plan["choice"]["name"] == "backbone_few"
    assert "640 pixels, above 24" in plan["choice"]["reason"]
    assert (plan["spec"]["calibration"], plan["spec"]["holdout"]) == ("cross_validated", 0)
    created = client.post("/experiments", json=body | {"training": {"epochs": 5}}).json()
    assert created["choice"] == plan["choice"]
    assert created["spec"]["network"]["backbone"] == "tf_efficientnet_lite0"
    assert (created["spec"]["training"]["recipe"], created["spec"]["training"]["epochs"]) == ("linear", 5)
    assert client.get(f"/experiments/{created['id']}").json()["choice"] == plan["choice"]
    assert client.post("/experiments", json=body | {"network": "compact"}).json()["choice"]["name"] == "compact"
    assert client.post("/experiments", json=body | {"holdout": 0.2}).json()["choice"]["name"] == "backbone"


def test_presets_without_choices_say_that_they_chose_nothing(client: TestClient) -> None:
    for body in ({"preset": "baseline", "scale": "smoke", "dataset": "pets"}, {"dataset": "pets"} | SMALL):
        assert client.post("/experiments?dry_run=true", json=body).json()["choice"] is None
        assert client.post("/experiments", json=body).json()["choice"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "dataset"), ({"dataset": "nobodys"}, "dataset"), ({"dataset": "nobodys", "epoch": 3}, "epoch")],
)
def test_a_dataset_that_is_not_there_is_told_after_what_is_wrong_with_the_rest(
    client: TestClient, body: dict[str, Any], field: str
) -> None:
    answer = client.post("/experiments?dry_run=true", json={"preset": "recommended"} | body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_dataset_that_is_being_ingested_is_waited_for(client: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        datasets.register(session, name="late", source="upload", image_size=32, upload_digest="f" * 64)
    answer = client.post("/experiments", json={"preset": "recommended", "dataset": "late"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "dataset")


def test_a_choice_that_a_newer_version_wrote_is_answered_as_it_is(client: TestClient, sessions: Sessions) -> None:
    id = client.post("/experiments", json={"preset": "recommended", "dataset": "pets"}).json()["id"]
    with sessions.begin() as session:
        write_json(session, "experiments.choice", id, {"kind": "of tomorrow"})
    assert client.get(f"/experiments/{id}").json()["choice"] == {"kind": "of tomorrow"}


def test_a_dry_run_warns_where_few_weight_updates_are_made(client: TestClient) -> None:
    """90 images in batches of 8 are 11 updates an epoch; with 50 noise images 17."""
    body = {"dataset": "pets", "training": {"epochs": 3, "batch_size": 8}, "noise": {"family": "uniform"}}
    plan = client.post("/experiments?dry_run=true", json=body | {"sweep": {"noise.quantity": [0, 1]}}).json()
    (warning,) = plan["warnings"]
    assert warning["field"] == "training.epochs"
    assert "makes 33 weight updates, and 1 other cells make few" in warning["detail"]
    assert "tf_efficientnet_lite0" in warning["remedy"]
    enough = body | {"training": {"epochs": 59, "batch_size": 8}}
    assert client.post("/experiments?dry_run=true", json=enough).json()["warnings"] == [], "1,003"
    fewer = body | {"training": {"epochs": 58, "batch_size": 8}}
    assert "986" in client.post("/experiments?dry_run=true", json=fewer).json()["warnings"][0]["detail"]


def test_a_dry_run_says_how_long_or_that_it_cannot(client: TestClient, sessions: Sessions) -> None:
    body = {"dataset": "pets"} | SMALL
    first = client.post("/experiments?dry_run=true", json=body).json()["estimate"]
    assert first["minutes"] is None
    assert "cannot be said: of training (network paper, recipe paper, 32 pixels) nothing was done" in first["detail"]
    id = client.post("/experiments", json=body).json()["id"]
    with sessions.begin() as session:
        row, now = session.get_one(Experiment, id), utc_now()
        row.state, row.started_at, row.finished_at = State.SUCCEEDED, now - timedelta(minutes=3), now
    then = client.post("/experiments?dry_run=true", json=body | {"executions": 6}).json()["estimate"]
    assert then["minutes"] == 6
    warned = [
        client.post(f"/experiments?dry_run=true&time_limit={seconds}", json=body | {"executions": 6}).json()["warnings"]
        for seconds in (300, 400)
    ]
    short, enough = ([one["field"] for one in found] for found in warned)
    assert ("time_limit" in short, "time_limit" in enough) == (True, False)
    assert then["detail"] == "About 6 minutes, as 1 like experiment took here."
