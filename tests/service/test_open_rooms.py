"""A network with batch norm, a score and a noise family that this one module adds at run time: from POST to result, card and
/classify, together, with no other file touched. A made-up kind is in test_made_up_kind.py.
"""

import io
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor, nn
from typing_extensions import override

from noisegate.networks import NETWORKS
from noisegate.networks.building import Start, TrainableNetwork
from noisegate.networks.layers import initialise_convolution, initialise_linear, initialise_norm
from noisegate.networks.network import Network
from noisegate.networks.preprocessing import Statistics
from noisegate.noise import FAMILIES
from noisegate.noise.base import NoiseFamily, Quantity
from noisegate.noise.canvas import Canvas, Images
from noisegate.rejection import SCORES
from noisegate.rejection.scores import Fitted, KnownLogits, Rows, Scorer, TrainingAnswers
from noisegate.store.artefacts import Artefacts
from noisegate.store.sessions import Sessions
from noisegate.store.settings import Settings
from noisegate.store.wakeups import Wakeups
from tests import factories
from worker.resources import Resources
from worker.training import train_oldest


class Little(TrainableNetwork):
    """One convolution with batch norm, and a head on its means."""

    statistics: ClassVar[Statistics] = "channels"

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, outputs)

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch 8"]]:
        features = self.norm(self.convolution(images)).relu().mean(dim=(2, 3))
        return self.head(features), features

    def initialise(self, generator: torch.Generator, start: Start) -> None:  # noqa: ARG002
        initialise_convolution(self.convolution, generator)
        initialise_norm(self.norm)
        initialise_linear(self.head, generator)


def build(image_size: int, outputs: int) -> Little:
    return Little(outputs)


class Stripes(NoiseFamily):
    """Black and white rows, from a random one on."""

    family: Literal["stripes"]
    quantity: Quantity = 1

    @override
    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        first = generator.integers(2, size=(canvas.count, 1, 1, 1), dtype=np.uint8)
        rows = np.arange(canvas.image_size, dtype=np.uint8)[None, :, None, None]
        return np.broadcast_to((rows + first) % 2 * np.uint8(255), canvas.shape).copy()


class FeatureLength(Scorer):
    """How long the features are, in units of the training images' mean length."""

    name = "feature_length"
    higher_is_known = True
    description = "length of the features, in units of the training images'"
    arrays = ("mean_length",)

    @override
    def fit(self, training: TrainingAnswers) -> Fitted:
        return {"mean_length": np.array([np.linalg.norm(training.features, axis=1).mean()])}

    @override
    def value(self, known: KnownLogits, features: np.ndarray, fitted: Fitted) -> Rows:
        lengths: Rows = np.linalg.norm(features.astype(np.float64), axis=1) / float(fitted["mean_length"][0])
        return lengths


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "little", Network("little", "One convolution with batch norm.", module=__name__))
    monkeypatch.setitem(FAMILIES, "stripes", Stripes)
    monkeypatch.setitem(SCORES, "feature_length", FeatureLength())


@pytest.fixture
def resources(settings: Settings, sessions: Sessions, artefacts: Artefacts, wakeups: Wakeups) -> Resources:
    with sessions.begin() as session:
        factories.stored_dataset(session, artefacts)
    return Resources(settings, sessions, artefacts, wakeups, worker="test")


SPEC: dict[str, Any] = {
    "dataset": "shades",
    "image_size": 8,
    "network": "little",
    "training": {"recipe": "one_cycle", "epochs": 12, "batch_size": 20, "learning_rate": 0.1, "precision": "float32"},
    "noise": {"family": "stripes", "quantity": 0.5},
    "holdout": 0.25,
    "executions": 1,
}


@pytest.mark.usefixtures("made_up")
def test_from_post_to_result_card_and_classify(client: TestClient, resources: Resources) -> None:
    posted = client.post("/experiments", json=SPEC)
    assert posted.status_code == 202, posted.text
    train_oldest(resources)
    (row,) = client.get(f"/results/{posted.json()['id']}").json()["rows"]
    assert row["n"] == 1, client.get(f"/experiments/{posted.json()['id']}/executions").text
    assert row["accuracy"]["mean"] > 0.9, "dark and bright are easy to tell apart"

    card = client.get(f"/models/{row['best_model']}/card").json()["card"]
    assert set(card["untrained_noise"]["scores"]) == set(SCORES) > {"knn", "feature_length"}
    assert not any(family["trained"] for family in card["families"]), "none of the card's families draws stripes"

    bright, striped = np.full((8, 8, 3), 200, np.uint8), np.zeros((8, 8, 3), np.uint8)
    striped[::2] = 255
    accepted, rejected = classify(client, bright), classify(client, striped)
    assert (accepted["label"], rejected["label"], rejected["reason"]) == ("bright", "noise", "noise")
    assert 0 < accepted["scores"]["feature_length"]["value"] < 10
    assert accepted["scores"]["feature_length"]["threshold"] is not None


def classify(client: TestClient, pixels: np.ndarray) -> dict[str, Any]:
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    answer = client.post("/classify", content=png.getvalue(), headers={"Content-Type": "image/png"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_before_and_after_each_is_a_problem_that_names_the_field(client: TestClient) -> None:
    refused = client.post("/experiments", json=SPEC)
    assert refused.status_code == 422
    assert {error["field"] for error in refused.json()["errors"]} == {"network", "noise.family"}
