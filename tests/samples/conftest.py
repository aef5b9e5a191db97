"""One installation with a dataset in which labels are wrong, and an experiment that has recorded its training images."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from starlette.testclient import TestClient

from noisegate.store import executions, experiments
from noisegate.store.artefacts import Artefacts
from noisegate.store.states import DerivedState
from noisegate.store.tables import Derived
from noisegate.store.wakeups import Wakeups, celery_app
from tests.service.conftest import run_client, settings_in
from worker.derived import make_one
from worker.ingestion import ingest_one
from worker.resources import Resources
from worker.training import train_oldest

CLASSES, EACH, SIZE = ("red", "green", "blue"), 40, 8
# Files of the first class that lie in the folder of the second.
PLANTED = ("red/31.png", "red/32.png", "red/33.png")
TRAINING: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 8,
    "learning_rate": 0.003,
    "learning_rate_drop": None,
    "first_layer_std": 0.1,
    "precision": "float32",
}
SPEC: dict[str, Any] = {
    "dataset": "tints",
    "image_size": SIZE,
    "executions": 2,
    "holdout": 0.1,
    "training": TRAINING,
    "record": "samples",
}


def tint(name: str, number: int) -> bytes:
    """A dim random picture of one channel brighter than the others."""
    generator = np.random.default_rng([CLASSES.index(name), number])
    pixels = generator.integers(0, 120, (SIZE, SIZE, 3), dtype=np.uint8)
    pixels[:, :, CLASSES.index(name)] += 120
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def archive(planted: bool = True) -> bytes:
    """Class folders. One training image is there twice, and once in the test set; three lie in the wrong folder."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name in CLASSES:
            for number in range(EACH):
                wrong = planted and f"{name}/{number}.png" in PLANTED
                opened.writestr(f"train/{'green' if wrong else name}/{name}-{number}.png", tint(name, number))
            for number in range(100, 110):
                opened.writestr(f"test/{name}/{number}.png", tint(name, number))
        opened.writestr("train/blue/twin.png", tint("blue", 0))
        opened.writestr("test/blue/leak.png", tint("blue", 1))
    return file.getvalue()


@dataclass(frozen=True)
class House:
    """A service and a worker's resources on the same database."""

    client: TestClient
    resources: Resources

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """The dataset, once it is ready."""
        sent = self.client.post(
            f"/datasets?name={name}&image_size={SIZE}", content=content, headers={"Content-Type": "application/zip"}
        )
        assert sent.status_code == 202, sent.text
        ingest_one(self.resources, sent.json()["id"])
        found: dict[str, Any] = self.client.get(f"/datasets/{sent.json()['id']}").json()
        assert found["state"] == "ready", found
        return found

    def post(self, **changes: Any) -> str:
        """The id of an experiment that has been posted and run to its end."""
        answer = self.client.post("/experiments", json=SPEC | changes)
        assert answer.status_code == 202, answer.text
        self.run(answer.json()["id"])
        id: str = answer.json()["id"]
        return id

    def run(self, experiment_id: str) -> None:
        """Train what waits."""
        while True:
            with self.resources.sessions.reading() as session:
                experiment = experiments.get(session, experiment_id)
                rows = executions.of_experiment(session, experiment_id)
            if experiment.state.terminal:
                assert experiment.state == "succeeded", [row.error for row in rows]
                return
            train_oldest(self.resources)

    def make(self) -> None:
        """Make the artefacts that wait, and those that wait for them."""
        waiting = sa.select(sa.exists().where(Derived.state == DerivedState.WAITING))
        while True:
            with self.resources.sessions.reading() as session:
                if not session.scalar(waiting):
                    return
            make_one(self.resources, "")

    def table(self, experiment_id: str, **query: Any) -> dict[str, Any]:
        """All rows of the table."""
        answer = self.client.get(f"/experiments/{experiment_id}/samples", params={"limit": 100, **query})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        while found["next_cursor"]:
            more = self.client.get(
                f"/experiments/{experiment_id}/samples", params={"limit": 100, "cursor": found["next_cursor"], **query}
            ).json()
            found["items"] += more["items"]
            found["next_cursor"] = more["next_cursor"]
        return found


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, broker_url: str) -> Iterator[House]:
    settings = settings_in(tmp_path_factory.mktemp("samples") / "data", migrated_database, broker_url)
    settings = settings.model_copy(update={"device": "cpu", "min_free_bytes": 0})
    app = celery_app(settings)
    with run_client(settings) as client:
        sessions = client.app_state["resources"].sessions
        yield House(
            client, Resources(settings, sessions, Artefacts(settings.artefact_root), Wakeups(app), worker="test")
        )
    app.close()


@pytest.fixture(scope="session")
def dataset(house: House) -> dict[str, Any]:
    return house.upload("tints", archive())


@pytest.fixture(scope="session")
def recorded(house: House, dataset: dict[str, Any]) -> str:
    """The id of an experiment whose table is there."""
    id = house.post()
    house.make()
    return id
