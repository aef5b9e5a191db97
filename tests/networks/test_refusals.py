"""What a network, a recipe and images do not allow of each other: a problem that names the field and says what to do."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from noisegate.networks import NETWORKS
from noisegate.networks.network import Network
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from tests import factories

SPEC: dict[str, Any] = {"dataset": "pets", "executions": 1}
ONE_CYCLE = {"recipe": "one_cycle", "epochs": 4}


@pytest.fixture
def small(client: TestClient, sessions: Sessions, artefacts: Artefacts) -> TestClient:
    """The application with a dataset of 8 pixels a side."""
    with sessions.begin() as session:
        factories.stored_dataset(session, artefacts, "pets", image_size=8)
    return client


def errors(client: TestClient, change: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Message and remedy of every wrong field."""
    answer = client.post("/experiments?dry_run=true", json=SPEC | change)
    assert answer.status_code == 422, answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid-spec"
    return {error["field"]: (error["message"], error["remedy"] or "") for error in answer.json()["errors"]}


@pytest.mark.parametrize(
    ("change", "field", "message", "remedy"),
    [
        ({"network": "compcat"}, "network", "there is no 'compcat'", "Did you mean compact? There are: paper, compact"),
        ({"network": 5}, "network", "", ""),
        (
            {"network": "resnet18", "training": {"batch_size": 1}},
            "training.batch_size",
            "at least 2 images a step",
            "larger batches",
        ),
        (
            {"network": "compact", "training": {"first_layer_std": 0.1}},
            "training.first_layer_std",
            "initialises itself",
            "Leave it out",
        ),
        (
            {"training": ONE_CYCLE | {"optimizer": "adamw", "momentum": 0.9}},
            "training.momentum",
            "belongs to sgd, and the optimizer is adamw",
            "Leave it out",
        ),
        ({"training": ONE_CYCLE | {"warmup_epochs": 4}}, "training.warmup_epochs", "has 4 epochs", "less than 4"),
        ({"training": ONE_CYCLE | {"warmup_epochs": 9.5}}, "training.warmup_epochs", "is 9.5", "less than 4"),
        ({"training": ONE_CYCLE | {"crop_padding": 32}}, "training.crop_padding", "32 pixels a side", "less than 32"),
        ({"training": ONE_CYCLE | {"cutout": 40}}, "training.cutout", "is 40", "less than 32"),
        (
            {"training": {"recipe": "one_cycel"}},
            "training.recipe",
            "there is no 'one_cycel'",
            "Did you mean one_cycle?",
        ),
        ({"training": ONE_CYCLE | {"optimizer": "lion"}}, "training.optimizer", "'sgd' or 'adamw'", ""),
        ({"training": ONE_CYCLE | {"ema_decay": 1}}, "training.ema_decay", "less than 1", ""),
        ({"training": ONE_CYCLE | {"label_smoothing": 1}}, "training.label_smoothing", "less than 1", ""),
        ({"training": ONE_CYCLE | {"first_layer_std": 0.1}}, "training.first_layer_std", "", ""),
        ({"training": ONE_CYCLE | {"learning_rate": 0}}, "training.learning_rate", "greater than 0", ""),
        ({"training": {"crop_padding": 2}}, "training.crop_padding", "", ""),
    ],
)
def test_field_and_remedy_are_named(
    shared_client: TestClient, change: dict[str, Any], field: str, message: str, remedy: str
) -> None:
    found = errors(shared_client, change)
    assert field in found
    assert message in found[field][0]
    assert remedy in found[field][1]


def test_a_recipe_that_a_network_cannot_take(shared_client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Network(name="old", summary="", module="nowhere", recipes=("paper",))
    monkeypatch.setitem(NETWORKS, "old", old)
    found = errors(shared_client, {"network": "old", "training": ONE_CYCLE})
    assert found == {"training.recipe": ("is one_cycle, which cannot train the network old", "It takes: paper.")}
    answer = shared_client.post("/experiments?dry_run=true", json=SPEC | {"network": "old"})
    assert answer.status_code == 200, answer.json()


def test_images_below_a_networks_least_size(small: TestClient) -> None:
    found = errors(small, {"network": "compact", "image_size": 8, "training": ONE_CYCLE})
    message = "is 8; the network compact takes images from 16 pixels a side"
    assert found == {"image_size": (message, "Use larger images, or the network paper.")}
    assert small.post("/experiments?dry_run=true", json=SPEC | {"image_size": 8}).status_code == 200


def test_all_that_does_not_fit_is_named_at_once(small: TestClient) -> None:
    training = ONE_CYCLE | {"crop_padding": 9, "cutout": 8}
    found = errors(small, {"network": "compact", "image_size": 8, "training": training})
    assert found.keys() == {"image_size", "training.crop_padding", "training.cutout"}


def test_points_of_a_sweep_are_checked_too(shared_client: TestClient) -> None:
    sweep = {"training.first_layer_std": [0.0001, 0.1]}
    assert list(errors(shared_client, {"network": "compact", "sweep": sweep})) == ["training.first_layer_std"]
    assert list(errors(shared_client, {"sweep": {"network": ["paper", "resnet"]}})) == ["sweep.network"]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_takes_every_recipe_that_it_says(shared_client: TestClient, network: str) -> None:
    for training in ({}, ONE_CYCLE, ONE_CYCLE | {"optimizer": "adamw", "warmup_epochs": 0}):
        document = SPEC | {"network": network, "training": training}
        answer = shared_client.post("/experiments?dry_run=true", json=document)
        assert answer.status_code == 200, answer.json()
