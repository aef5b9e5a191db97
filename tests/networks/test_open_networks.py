"""A network that one module adds at run time: from POST to results, card and /classify with no other file touched."""

from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
import torch
from starlette.testclient import TestClient
from torch import Tensor, nn

from noisegate.networks import NETWORKS
from noisegate.networks.building import Start, TrainableNetwork
from noisegate.networks.layers import initialise_convolution, initialise_linear, initialise_norm
from noisegate.networks.network import Network
from noisegate.networks.preprocessing import Statistics
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import Wakeups
from tests import factories
from tests.service.factories import png_bytes
from worker.resources import Resources
from worker.training import train_oldest

PNG = {"Content-Type": "image/png"}


class Tiny(TrainableNetwork):
    """A convolution, batch norm and a moving count of images of its own; its features are means of channels."""

    statistics: ClassVar[Statistics] = "channels"

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, outputs)
        self.images_seen: Tensor
        self.register_buffer("images_seen", torch.empty((), dtype=torch.int64))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.training:
            self.images_seen += len(images)
        features = torch.relu(self.norm(self.first(images))).mean(dim=(2, 3))
        return self.head(features), features

    def initialise(self, generator: torch.Generator, start: Start) -> None:  # noqa: ARG002
        initialise_convolution(self.first, generator)
        initialise_norm(self.norm)
        initialise_linear(self.head, generator)
        self.images_seen.zero_()


def build(image_size: int, outputs: int) -> Tiny:
    """What this module is as the module of a network."""
    assert image_size >= 4
    return Tiny(outputs)


TINY = Network(name="tiny", summary="One convolution.", module=__name__, least_image_size=4)
SPEC: dict[str, Any] = {
    "dataset": "shades",
    "image_size": 8,
    "network": "tiny",
    "training": {"recipe": "one_cycle", "epochs": 5, "batch_size": 20, "learning_rate": 0.1, "precision": "float32"},
    "noise": {"family": "uniform"},
    "executions": 2,
    "holdout": 0.2,
}


@pytest.fixture
def resources(settings: Settings, sessions: Sessions, artefacts: Artefacts, wakeups: Wakeups) -> Resources:
    """A worker in this process, on the service's database, and a dataset of dark and bright images."""
    with sessions.begin() as session:
        factories.stored_dataset(session, artefacts)
    settings = settings.model_copy(update={"device": "cpu", "min_free_bytes": 0})
    return Resources(settings, sessions, artefacts, wakeups, worker="test")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "tiny", TINY)


@pytest.mark.usefixtures("tiny")
def test_it_goes_from_post_to_classify(client: TestClient, resources: Resources) -> None:
    posted = client.post("/experiments", json=SPEC)
    assert posted.status_code == 202, posted.json()
    for _ in range(2):
        train_oldest(resources)
    id = posted.json()["id"]
    found = client.get(f"/experiments/{id}").json()
    assert (found["state"], found["spec"]["network"]) == ("succeeded", "tiny")
    assert found["spec"]["training"]["recipe"] == "one_cycle"
    (row,) = client.get(f"/results/{id}").json()["rows"]
    assert (row["n"], row["accuracy"]["mean"]) == (2, 1.0)
    assert client.get("/models/default").json()["network"] == "tiny"
    card = client.get("/models/default/card")
    assert card.status_code == 200
    assert card.json()["card"]["test_images"] == 40
    uniform = next(one for one in card.json()["card"]["families"] if one["name"] == "uniform")
    assert uniform["images"] > 0
    answers = [client.post("/classify", content=png_bytes(8, level), headers=PNG).json() for level in (60, 190)]
    assert [answer["label"] for answer in answers] == ["dark", "bright"]
    assert all(answer["scores"]["knn"]["threshold"] is not None for answer in answers)
    file = client.get("/models/default/files/model.onnx").content
    onnx.checker.check_model(onnx.ModelProto.FromString(file), full_check=True)


@pytest.mark.usefixtures("tiny")
def test_it_can_be_swept_beside_others(client: TestClient, resources: Resources) -> None:
    spec = SPEC | {"sweep": {"network": ["tiny", "paper"]}, "executions": 1, "holdout": 0, "noise": None}
    short = SPEC["training"] | {"epochs": 1}
    posted = client.post("/experiments", json=spec | {"training": short, "keep_models": "none"})
    assert posted.status_code == 202, posted.json()
    for _ in range(2):
        train_oldest(resources)
    rows = client.get(f"/results/{posted.json()['id']}").json()["rows"]
    assert [(row["point"], row["n"]) for row in rows] == [({"network": "tiny"}, 1), ({"network": "paper"}, 1)]
    assert all(np.isfinite(row["accuracy"]["mean"]) for row in rows)


def test_before_and_after_it_is_a_problem_that_names_the_networks_there_are(client: TestClient) -> None:
    answer = client.post("/experiments?dry_run=true", json=SPEC)
    assert answer.status_code == 422
    (error,) = [one for one in answer.json()["errors"] if one["field"] == "network"]
    assert error["message"] == "there is no 'tiny'"
    assert all(name in error["remedy"] for name in NETWORKS)


@pytest.mark.usefixtures("tiny")
def test_images_below_its_least_size_are_refused(client: TestClient, resources: Resources) -> None:
    answer = client.post("/experiments?dry_run=true", json=SPEC | {"image_size": 2})
    assert answer.status_code == 422
    assert "image_size" in {one["field"] for one in answer.json()["errors"]}
