import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.details import Details
from noisegate.judgement import Judgement
from noisegate.regularisation import Candidate, Regularisation
from noisegate.store import executions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.tables import Experiment
from tests.factories import claim_one, failure, judgement, outcome
from tests.service.factories import post_experiment, ready_dataset, served_model

SPEC: dict[str, Any] = {
    "dataset": "pets",
    "training": {"epochs": 2},
    "noise": {"family": "uniform"},
    "executions": 3,
    "sweep": {"noise.quantity": [5, 0]},
}
# By cell, and within it by execution, which is the order in which they are claimed in turn.
ACCURACIES = {0: [0.80, 0.81, 0.82], 1: [0.70, 0.71, 0.72]}


@pytest.fixture
def experiment(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> str:
    """Three executions with noise, three without, the latter about ten points worse."""
    return post_experiment(client, sessions, artefacts, SPEC)


def finish(sessions: Sessions, count: int) -> None:
    for _ in range(count):
        with sessions.begin() as session:
            execution, lease = claim_one(session)
            accuracy = ACCURACIES[execution.cell.position][execution.position]
            executions.record_success(session, lease, outcome(accuracy))


def test_rows_without_any_result(client: TestClient, experiment: str) -> None:
    found = client.get(f"/results/{experiment}").json()
    assert found["baseline_cell"] == 1
    assert [row["label"] for row in found["rows"]] == ["noise.quantity=5", "noise.quantity=0"]
    assert [row["has_noise_class"] for row in found["rows"]] == [True, False]
    for row in found["rows"]:
        assert (row["executions"], row["n"], row["failed"]) == (3, 0, 0)
        assert row["accuracy"] is row["difference"] is row["best_model"] is None


def test_rows_while_running_say_what_cannot_be_tested(client: TestClient, experiment: str, sessions: Sessions) -> None:
    finish(sessions, 2)
    noisy, plain = client.get(f"/results/{experiment}").json()["rows"]
    assert noisy["accuracy"] == {"mean": 0.8, "std": None, "standard_error": None, "n": 1}
    assert noisy["difference"]["accuracy"] == pytest.approx(0.1)
    assert noisy["difference"]["p_value"] is None
    assert "two executions" in noisy["difference"]["sentence"]
    assert plain["difference"] is None


def test_rows_of_a_finished_experiment(client: TestClient, experiment: str, sessions: Sessions) -> None:
    finish(sessions, 6)
    found = client.get(f"/results/{experiment}").json()
    noisy, plain = found["rows"]
    assert found["experiment"]["state"] == "succeeded"
    assert found["dataset"]["name"] == "pets"
    assert found["confidence_level"] == 0.95
    assert noisy["n"] == plain["n"] == 3
    # By hand: mean 0.81, standard deviation 0.01, standard error 0.01 / √3.
    assert noisy["accuracy"] == pytest.approx(
        {"mean": 0.81, "std": 0.01, "standard_error": 0.0057735, "n": 3}, rel=1e-5
    )
    assert noisy["difference"]["low"] == pytest.approx(0.0773, abs=1e-4)
    assert noisy["difference"]["high"] == pytest.approx(0.1227, abs=1e-4)
    assert noisy["difference"]["sentence"].startswith("accuracy is 10.00 points higher than the baseline")
    assert noisy["train_seconds"]["mean"] == 2.0
    assert noisy["true_class_probability"]["mean"] == pytest.approx(0.2)


def test_the_weight_decay_that_was_chosen_is_in_the_table(
    client: TestClient, experiment: str, sessions: Sessions
) -> None:
    tried = [Candidate(weight_decay=0.1, log_loss=0.7), Candidate(weight_decay=1.0, log_loss=None)]
    chosen = Regularisation(weight_decay=0.1, folds=5, candidates=tried)
    with sessions.begin() as session:
        _, lease = claim_one(session)
        executions.record_success(session, lease, replace(outcome(), details=Details(regularisation=chosen)))
    rows = client.get(f"/results/{experiment}").json()["rows"]
    assert [row["regularisation"] for row in rows] == [chosen.model_dump(), None]
    first, *_ = csv.DictReader(io.StringIO(client.get(f"/results/{experiment}", headers={"Accept": "text/csv"}).text))
    assert first["weight_decay"] == "0.1"


def test_csv(client: TestClient, experiment: str, sessions: Sessions) -> None:
    finish(sessions, 6)
    answer = client.get(f"/results/{experiment}", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    noisy, plain = csv.DictReader(io.StringIO(answer.text))
    assert list(noisy)[:6] == [
        "cell",
        "noise.quantity",
        "n",
        "failed",
        "accuracy_pct",
        "accuracy_std_pct",
    ]
    assert (noisy["cell"], noisy["noise.quantity"], noisy["n"], noisy["accuracy_pct"]) == ("0", "5", "3", "81.0")
    assert (noisy["confidence_pct"], noisy["true_class_probability_pct"], noisy["noise_per_10000"]) == (
        "80.0",
        "20.0",
        "0.0",
    )
    assert (noisy["ground_truth_probability_pct"], noisy["noise_count"]) == ("20.0", "0.0"), "their old names"
    assert (noisy["failed"], plain["failed"]) == ("0", "0")
    assert float(noisy["difference_pct"]) == pytest.approx(10)
    assert 0 < float(noisy["p_value"]) < 0.001
    assert (plain["difference_pct"], plain["p_value"], plain["best_model"]) == ("", "", "")


def test_what_failed_is_in_the_csv_too_and_format_wins_over_accept(
    client: TestClient, experiment: str, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        _, lease = claim_one(session)
        executions.record_failure(session, lease, failure("worker"))
    path = f"/results/{experiment}"
    as_csv = client.get(f"{path}?format=csv", headers={"Accept": "application/json"})
    assert as_csv.headers["content-type"].startswith("text/csv")
    assert as_csv.text == client.get(path, headers={"Accept": "text/csv"}).text
    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert [row["failed"] for row in rows] == ["1", "0"]
    in_json = client.get(f"{path}?format=json", headers={"Accept": "text/csv"})
    assert [row["failed"] for row in in_json.json()["rows"]] == [1, 0]
    unknown = client.get(f"{path}?format=xlsx")
    assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "format")


def test_seeds_are_there_as_texts_and_large_ones_are_no_longer_taken(
    client: TestClient, experiment: str, sessions: Sessions
) -> None:
    finish(sessions, 6)
    (row, _) = client.get(f"/results/{experiment}").json()["rows"]
    assert row["seed_texts"] == [str(seed) for seed in row["seeds"]]
    assert max(row["seeds"]) > 2**53, "or there would be no need"
    ran = client.get(f"/experiments/{experiment}/executions").json()["items"]
    assert all(one["seed_text"] == str(one["seed"]) for one in ran)
    for seed, status in ((2**53 - 1, 202), (2**53, 422)):
        answer = client.post("/experiments", json=SPEC | {"seed": seed})
        assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["field"] == "seed"
    assert "9007199254740991" in answer.json()["errors"][0]["remedy"]
    known = {"count": 2, "seed": 2**53, "splits": 2}
    drawn = client.post("/experiments", json={"kind": "open_set", "dataset": "pets", "known": known})
    assert "known.seed" in [error["field"] for error in drawn.json()["errors"]]
    with sessions.begin() as session:
        row = session.get_one(Experiment, experiment)
        row.spec = row.spec.model_copy(update={"seed": 2**60 + 1})
    assert client.get(f"/experiments/{experiment}").json()["spec"]["seed"] == 2**60 + 1, "posted before, and read"


def test_csv_without_a_sweep_has_no_swept_columns(client: TestClient, experiment: str, sessions: Sessions) -> None:
    id = client.post("/experiments", json=SPEC | {"sweep": {}, "noise": None}).json()["id"]
    text = client.get(f"/results/{id}", headers={"Accept": "text/csv"}).text
    assert text.splitlines()[0].startswith("cell,n,failed,accuracy_pct,")
    row = client.get(f"/results/{id}").json()["rows"][0]
    assert row["label"] == "all"


def test_cells_say_which_executions_have_not_learnt(client: TestClient, experiment: str, sessions: Sessions) -> None:
    """Three of 96, 30 and 95 % with noise: the middle one collapsed. Of the others one was never judged."""
    judged: dict[int, list[Judgement | None]] = {
        0: [judgement(0.96), judgement(0.3), judgement(0.95)],
        1: [judgement(0.5, "called_noise"), None, None],
    }
    for _ in range(6):
        with sessions.begin() as session:
            execution, lease = claim_one(session)
            one = judged[execution.cell.position][execution.position]
            executions.record_success(session, lease, outcome(0.8, judged=one))
    noisy, plain = client.get(f"/results/{experiment}").json()["rows"]
    assert (noisy["judged"], plain["judged"]) == (3, 1)
    (concerned,) = noisy["not_learnt"]
    assert concerned["execution"] == 1
    assert [finding["code"] for finding in concerned["findings"]] == ["collapsed"]
    assert "training.learning_rate" in concerned["findings"][0]["remedy"]
    assert [one["execution"] for one in plain["not_learnt"]] == [0]
    text = client.get(f"/results/{experiment}", headers={"Accept": "text/csv"}).text
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["not_learnt"], second["not_learnt"]) == ("1", "1")
    assert first["not_learnt_why"].startswith("execution 1: it classifies 30.0%")
    assert second["not_learnt_why"] == "execution 0: found: called_noise. against called_noise."


def test_results_that_were_never_judged_say_nothing(client: TestClient, experiment: str, sessions: Sessions) -> None:
    finish(sessions, 6)
    found = client.get(f"/results/{experiment}").json()
    assert [(row["judged"], row["not_learnt"]) for row in found["rows"]] == [(0, []), (0, [])]
    assert found["published"] is None
    text = client.get(f"/results/{experiment}", headers={"Accept": "text/csv"}).text
    assert [row["not_learnt"] for row in csv.DictReader(io.StringIO(text))] == ["", ""]


def test_results_and_experiment_say_what_became_of_default(
    client: TestClient, sessions: Sessions, artefacts: Artefacts
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    useless = served_model(sessions, artefacts, judged=judgement(0.5, "called_noise"))
    experiment = client.get(f"/models/{useless}").json()["experiment"]
    published = client.get(f"/results/{experiment}").json()["published"]
    assert published == client.get(f"/experiments/{experiment}").json()["published"]
    assert (published["outcome"], published["remedy"]) == ("none", "against called_noise.")
    assert client.get("/models/default").status_code == 404
    good = served_model(sessions, artefacts, judged=judgement(0.9))
    listed = client.get("/experiments").json()["items"]
    assert [one["published"]["outcome"] for one in listed] == ["set", "none"]
    assert client.get("/models/default").json()["id"] == good == listed[0]["published"]["model"]
