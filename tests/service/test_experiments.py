from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.spec.caps import Caps
from noisegate.store import datasets, derivations, executions
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import TRAIN, Wakeups
from service.experiments.examples import EXAMPLES
from tests.factories import claim_one, failure, outcome, renew
from tests.service.conftest import run_client
from tests.service.factories import ready_dataset

SPEC: dict[str, Any] = {
    "dataset": "pets",
    "training": {"epochs": 2},
    "noise": {"family": "uniform"},
    "executions": 2,
    "sweep": {"noise.quantity": [0, 1, 5]},
}


@pytest.fixture
def client(wakeups: Wakeups, sessions: Sessions, artefacts: Artefacts, client: TestClient) -> TestClient:
    """The application with a ready dataset, `pets`, of two classes with 50 training images each."""
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    return client


def errors_of(answer: Any) -> dict[str, dict[str, str | None]]:
    assert answer.headers["content-type"] == "application/problem+json"
    return {error["field"]: error for error in answer.json()["errors"]}


def test_post_answers_with_the_queued_experiment_and_wakes_a_worker_an_execution(
    wakeups: Wakeups, client: TestClient
) -> None:
    answer = client.post("/experiments", json=SPEC)
    found = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/experiments/{found['id']}"
    assert answer.headers["retry-after"] == "1"
    assert found["state"] == "queued"
    assert found["dataset"]["name"] == "pets"
    assert [(cell["cell"], cell["point"]) for cell in found["cells"]] == [
        (n, {"noise.quantity": q}) for n, q in enumerate([0, 1, 5])
    ]
    assert [cell["label"] for cell in found["cells"]] == ["noise.quantity=0", "noise.quantity=1", "noise.quantity=5"]
    assert found["counts"] == {"queued": 6, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
    assert (found["executions"], found["progress"], found["error"]) == (6, 0, None)
    assert found["spec"]["training"]["batch_size"] == 128
    assert found["created_at"].endswith("Z")
    assert wakeups.waiting(TRAIN) == 6
    again = client.get(answer.headers["location"])
    assert again.json() == found
    assert again.headers["retry-after"] == "1"


def test_dry_run_counts_and_creates_nothing(wakeups: Wakeups, client: TestClient) -> None:
    answer = client.post("/experiments?dry_run=true", json=SPEC)
    found = answer.json()
    assert answer.status_code == 200
    # 90 images are kept of 100, quantity 1 is 50 images, and there are 2 epochs.
    assert [cell["noise_images"] for cell in found["cells"]] == [0, 50, 250]
    assert [cell["training_images"] for cell in found["cells"]] == [180, 280, 680]
    assert (found["cell_count"], found["executions"], found["training_images"]) == (3, 6, 2 * (180 + 280 + 680))
    assert client.get("/experiments").json()["items"] == []
    assert wakeups.waiting(TRAIN) == 0


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"colour": 1}, "colour", "Extra inputs"),
        ({"dataset": "nobody"}, "dataset", "there is no dataset 'nobody'"),
        ({"noise": {"family": "uniform", "quantity": -1}}, "noise.quantity", "greater than or equal to 0"),
        ({"noise": {"family": "pink"}}, "noise.family", "pink"),
        ({"noise": {"family": "uniform", "low": 9, "high": 1}}, "noise", "low (9) must not be above high (1)"),
        ({"sweep": {"noise.quantity": []}}, "sweep.noise.quantity", "has no values"),
        ({"sweep": {"noise.quantity": [1, -1]}}, "sweep.noise.quantity", "cell 1"),
        ({"sweep": {"noise.size": [1]}}, "sweep.noise.size", "names no field"),
        ({"sweep": {"training.epochs": list(range(1, 102))}}, "sweep", "stands for 101 cells; this server allows 100"),
        ({"sweep": {"training.epochs": [1, 501]}}, "training.epochs", "is 501; this server allows 500"),
        ({"executions": 0}, "executions", "greater than or equal to 1"),
        ({"executions": 101}, "executions", "is 101; this server allows 100"),
        ({"holdout": 1}, "holdout", "less than 1"),
        ({"holdout": 0.99}, "holdout", "fewer than one training image a class"),
        ({"image_size": 64}, "image_size", "was packed at 32"),
        ({"network": "resnet"}, "network", "there is no 'resnet'"),
        (
            {"network": "resnet18", "training": {"first_layer_std": 0.1}},
            "training.first_layer_std",
            "initialises itself",
        ),
        ({"calibration": "cross_validated"}, "calibration", "the recipe is paper"),
        ({"calibration": "folds"}, "calibration", "Input should be 'holdout' or 'cross_validated'"),
        ({"rule": {"scores": [{"score": "knm"}]}}, "rule", "there is no score 'knm'"),
        ({"rule": {"scores": []}}, "rule.scores", "at least 1 item"),
        ({"sweep": {"rule": [None]}}, "sweep.rule", "cannot be swept"),
        ({"kind": "trainin"}, "kind", "there is no 'trainin'"),
    ],
)
def test_a_wrong_field_is_named(shared_client: TestClient, change: dict[str, Any], field: str, words: str) -> None:
    before = shared_client.get("/experiments").json()
    answer = shared_client.post("/experiments", json=SPEC | change)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid-spec"
    message = errors_of(answer)[field]["message"]
    assert message is not None
    assert words in message
    assert shared_client.get("/experiments").json() == before


def test_every_wrong_field_is_named_at_once_with_a_remedy(shared_client: TestClient) -> None:
    answer = shared_client.post("/experiments", json={"executions": 0, "seed": -1})
    errors = errors_of(answer)
    assert set(errors) == {"dataset", "executions", "seed"}
    assert all(error["remedy"] for error in errors.values())


def test_a_quantity_too_large_for_the_memory_comes_with_one_that_fits(
    settings: Settings, sessions: Sessions, artefacts: Artefacts
) -> None:
    with sessions.begin() as session:
        ready_dataset(session, artefacts)
    # 3,072 bytes an image; 100 training images and 50 noise images fit.
    tight = settings.model_copy(update={"caps": Caps(training_bytes=150 * 3072)})
    with run_client(tight) as client:
        refused = client.post("/experiments", json=SPEC)
        assert errors_of(refused)["noise.quantity"]["remedy"] == "At most 1 fits with this dataset."
        assert client.post("/experiments", json=SPEC | {"sweep": {}}).status_code == 202


def test_a_dataset_that_is_being_ingested_is_not_ready(shared_client: TestClient) -> None:
    answer = shared_client.post("/experiments", json=SPEC | {"dataset": "digits"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "not-ready"
    assert answer.headers["retry-after"] == "2"


@pytest.mark.parametrize("example", list(EXAMPLES))
def test_the_documented_examples_are_accepted_as_they_stand(shared_client: TestClient, example: str) -> None:
    documented = shared_client.get("/openapi.json").json()["paths"]["/experiments"]["post"]["requestBody"]
    value = documented["content"]["application/json"]["examples"][example]["value"]
    answer = shared_client.post("/experiments?dry_run=true", json=value | {"dataset": "pets"})
    assert answer.status_code == 200, answer.text


def test_pages_are_stable_while_experiments_are_added(client: TestClient) -> None:
    ids = [client.post("/experiments", json=SPEC | {"name": str(n)}).json()["id"] for n in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = client.get("/experiments", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        client.post("/experiments", json=SPEC)
    assert sorted(seen, reverse=True) == seen
    assert sorted(seen) == sorted(ids)


@pytest.mark.parametrize("cursor", ["x", "%%%", "MTo", "Mjpleg"])
def test_a_foreign_cursor_is_refused(shared_client: TestClient, cursor: str) -> None:
    answer = shared_client.get("/experiments", params={"cursor": cursor})
    assert answer.status_code == 422
    assert set(errors_of(answer)) == {"cursor"}


def test_limits(shared_client: TestClient) -> None:
    assert shared_client.get("/experiments?limit=100000").status_code == 200
    assert set(errors_of(shared_client.get("/experiments?limit=0"))) == {"limit"}
    assert set(errors_of(shared_client.get("/experiments?state=sleeping"))) == {"state"}


def test_cancel_is_idempotent_and_ends_what_waits(client: TestClient) -> None:
    id = client.post("/experiments", json=SPEC).json()["id"]
    first = client.post(f"/experiments/{id}/cancel")
    second = client.post(f"/experiments/{id}/cancel")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["state"] == second.json()["state"] == "cancelled"
    assert first.json()["counts"]["cancelled"] == 6
    assert "retry-after" not in second.headers
    assert [item["id"] for item in client.get("/experiments?state=cancelled").json()["items"]] == [id]
    assert client.get("/experiments?state=queued").json()["items"] == []


def test_an_experiment_that_has_ended_cannot_be_cancelled(client: TestClient, sessions: Sessions) -> None:
    id = client.post("/experiments", json=SPEC | {"executions": 1, "sweep": {}}).json()["id"]
    with sessions.begin() as session:
        _, lease = claim_one(session)
        executions.record_success(session, lease, outcome())
    answer = client.post(f"/experiments/{id}/cancel")
    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"


def test_progress_executions_and_failure(client: TestClient, sessions: Sessions) -> None:
    id = client.post("/experiments", json=SPEC | {"sweep": {}}).json()["id"]
    with sessions.begin() as session:
        _, lease = claim_one(session)
        renew(session, lease, 30, epochs_done=1, images_per_second=10.0)
    running = client.get(f"/experiments/{id}").json()
    assert (running["state"], running["progress"]) == ("running", 0.25)
    assert running["estimated_finish"] > running["started_at"]
    failed = failure("diverged", "the loss is NaN")
    with sessions.begin() as session:
        executions.record_failure(session, lease, failed)
        _, other = claim_one(session)
        executions.record_success(session, other, outcome(0.8))
    ended = client.get(f"/experiments/{id}")
    assert (ended.json()["state"], ended.json()["progress"], ended.json()["epochs_done"]) == ("failed", 0.75, 3)
    assert ended.json()["error"]["detail"] == "the loss is NaN"
    assert ended.json()["error"]["type"] == "urn:noisegate:problem:diverged"
    assert "retry-after" not in ended.headers
    found = {item["state"]: item for item in client.get(f"/experiments/{id}/executions").json()["items"]}
    assert found["failed"]["error"]["code"] == "diverged"
    assert found["succeeded"]["metrics"]["accuracy"] == 0.8
    assert found["succeeded"]["worker"] == "w1"
    assert (found["succeeded"]["cell"], found["succeeded"]["point"]) == (0, {})
    assert {item["execution"] for item in found.values()} == {0, 1}
    failed = client.get(f"/experiments/{id}/executions?state=failed").json()["items"]
    assert [item["id"] for item in failed] == [found["failed"]["id"]]


def test_it_says_what_it_waits_for(client: TestClient, sessions: Sessions) -> None:
    with sessions.begin() as session:
        datasets.get(session, "pets").originals_digest = "e" * 64
    backbone = {"dataset": "pets", "executions": 2, "network": {"backbone": "tf_efficientnet_lite0"}, "image_size": 64}
    ids = [client.post("/experiments", json=backbone | {"seed": seed}).json()["id"] for seed in range(2)]
    with sessions.begin() as session:
        found = derivations.claim(session, None, owner="w", lease_seconds=30)
        assert found is not None
        derivations.renew(session, found[1], 30, done=7, total=120)
    plain = client.post("/experiments", json=SPEC | {"sweep": {}}).json()
    listed = {one["id"]: one["waits_for"] for one in client.get("/experiments").json()["items"]}
    for id in ids:
        view, features = listed[id]
        assert (view["kind"], view["state"], view["images_done"], view["images"]) == ("view", "running", 7, 120)
        assert (features["kind"], features["state"], features["images"]) == ("features", "waiting", None)
    assert listed[plain["id"]] == plain["waits_for"] == []
    client.post(f"/experiments/{ids[0]}/cancel")
    assert client.get(f"/experiments/{ids[0]}").json()["waits_for"] == []


def test_cells_and_checkpoints(client: TestClient, sessions: Sessions) -> None:
    id = client.post("/experiments", json=SPEC | {"executions": 1, "sweep": {"noise.quantity": [0, 1]}}).json()["id"]
    with sessions.begin() as session:
        executions.record_success(session, claim_one(session)[1], outcome())
        executions.note_checkpoint(session, claim_one(session)[1], "0" * 64, 1)
    first, second = client.get(f"/experiments/{id}").json()["cells"]
    assert first["finished_at"].endswith("Z")
    assert second["finished_at"] is None
    assert client.get("/experiments").json()["items"][0]["cells"] == [first, second]
    found = client.get(f"/experiments/{id}/executions").json()["items"]
    assert {(item["cell"], item["checkpoint_epochs"]) for item in found} == {(0, 0), (1, 1)}


def test_a_cursor_does_not_serve_for_other_filters(client: TestClient) -> None:
    ids = [client.post("/experiments", json=SPEC).json()["id"] for _ in range(2)]
    cursor = client.get("/experiments?limit=1").json()["next_cursor"]
    of_one = client.get(f"/experiments/{ids[0]}/executions?limit=1").json()["next_cursor"]
    for path in (
        f"/experiments?state=queued&cursor={cursor}",
        f"/models?cursor={cursor}",
        f"/experiments/{ids[0]}/executions?cursor={cursor}",
        f"/experiments/{ids[1]}/executions?cursor={of_one}",
        f"/experiments/{ids[0]}/executions?state=queued&cursor={of_one}",
    ):
        answer = client.get(path)
        assert (answer.status_code, set(errors_of(answer))) == (422, {"cursor"}), path
        assert "other filters" in answer.json()["detail"]
    assert client.get("/experiments", params={"cursor": cursor, "limit": 50}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/experiments/exp_nothing"),
        ("DELETE", "/experiments/exp_nothing"),
        ("DELETE", "/experiments/exp_nothing?dry_run=true"),
        ("POST", "/experiments/exp_nothing/cancel"),
        ("GET", "/experiments/exp_nothing/executions"),
        ("GET", "/results/exp_nothing"),
    ],
)
def test_unknown_experiments(shared_client: TestClient, method: str, path: str) -> None:
    answer = shared_client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert set(errors_of(answer)) == {"experiment"}
