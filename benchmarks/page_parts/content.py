"""What pages are measured on: a real training on the digits, and an experiment of 10,000 executions with results made up for it."""

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from noisegate.decision_rule import REJECT_SCORE
from noisegate.details import Details
from noisegate.evaluation.open_set import Judged
from noisegate.evaluation.samples import SampleTable
from noisegate.judgement import Judgement
from noisegate.local import running as local
from noisegate.manifest import Metrics
from noisegate.spec import parse_spec
from noisegate.spec.caps import Caps
from noisegate.store import datasets, ingestions, planning
from noisegate.store.artefacts import Artefacts
from noisegate.store.ingestions import Packed
from noisegate.store.sessions import Sessions, open_sessions
from noisegate.store.settings import Settings
from noisegate.store.states import State
from noisegate.store.tables import Cell, Execution, Experiment

CELLS, EPOCHS = 200, 12
TEST_IMAGES, TRAINING_IMAGES, SIDE = 60_000, 1_000, 32
CLASSES = [f"class {number}" for number in range(10)]
DATABASE = "NOISEGATE_DATABASE_URL"


@dataclass(frozen=True)
class Content:
    """The settings of an installation that has ended, and the ids in it: of what was trained, and of the large experiment."""

    settings: Settings
    model: str
    trained: str
    large: str
    dataset: str


def trained_in(url: str, folder: Path) -> tuple[str, str]:
    """Train `recommended` at its smallest on the digits; returns the experiment's id and its model's, which is the default."""
    os.environ[DATABASE] = url
    try:
        with local.running(folder, 0, workers=1) as up, up.client() as client:
            trained = client.experiments.create({"preset": "recommended", "scale": "smoke"})["id"]
            client.experiments.wait(trained, progress=lambda _: None)
            return trained, next(iter(client.models.list()))["id"]
    finally:
        del os.environ[DATABASE]


def make_content(url: str, folder: Path, executions: int) -> Content:
    """A real training, then the large experiment, of which all has succeeded."""
    trained, model = trained_in(url, folder)
    settings = Settings(data_dir=folder, database_url=url, broker_url="memory://")
    sessions, artefacts = open_sessions(settings), Artefacts(settings.artefact_root)
    try:
        dataset = _dataset(sessions, artefacts)
        return Content(settings, model, trained, _large(sessions, artefacts, executions), dataset)
    finally:
        sessions.close()


def _dataset(sessions: Sessions, artefacts: Artefacts) -> str:
    """60,000 test images and 1,000 for training, of noise."""
    count = TRAINING_IMAGES + TEST_IMAGES
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    images = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    with artefacts.scratch() as scratch:
        digests = [_put(artefacts, scratch / name, values) for name, values in (("images", images), ("labels", labels))]
    with sessions.begin() as session:
        waiting = datasets.register(
            session, name="many", source="upload", image_size=SIDE, upload_digest=digests[0]
        ).dataset
        claimed = ingestions.claim(session, waiting.id, owner="benchmark", lease_seconds=60)
        assert claimed is not None
        counts = {"train": TRAINING_IMAGES, "test": TEST_IMAGES}
        packed = Packed(
            classes=CLASSES,
            counts={split: dict.fromkeys(CLASSES, number // len(CLASSES)) for split, number in counts.items()},
            train_count=TRAINING_IMAGES,
            test_count=TEST_IMAGES,
            skipped=0,
            content_hash=digests[0],
            images_digest=digests[0],
            labels_digest=digests[1],
            licence=None,
        )
        return ingestions.record_ready(session, claimed[1], packed).id


def _put(artefacts: Artefacts, file: Path, values: npt.NDArray[Any]) -> str:
    np.save(file.with_suffix(".npy"), values, allow_pickle=False)
    return artefacts.put_file(file.with_suffix(".npy"))


def _large(sessions: Sessions, artefacts: Artefacts, executions: int) -> str:
    sweep = {"noise.quantity": [number / 10 for number in range(CELLS)]}
    document = {
        "name": "many executions",
        "dataset": "many",
        "image_size": SIDE,
        "executions": executions // CELLS,
        "holdout": 0.2,
        "training": {"epochs": EPOCHS},
        "noise": {"family": "uniform"},
        "sweep": sweep,
    }
    with sessions.begin() as session:
        id = planning.create(session, planning.plan(session, parse_spec(document), Caps(cells=CELLS))).id
    answers = artefacts.put_bytes(_answers())
    with sessions.begin() as session:
        columns = (Execution.id, Cell.position, Execution.position)
        rows = session.execute(sa.select(*columns).join(Execution.cell).where(Execution.experiment_id == id)).all()
        draw = random.Random(0)
        session.execute(
            sa.update(Execution),
            [{"id": row.id, **_result(draw)} | ({"samples_digest": answers} if row[2] == 0 else {}) for row in rows],
        )
        session.execute(sa.update(Experiment).where(Experiment.id == id).values(last_event=3 * executions))
    end(sessions, id)
    return id


def end(sessions: Sessions, id: str) -> None:
    """All of it has ended."""
    with sessions.begin() as session:
        session.execute(sa.update(Execution).where(Execution.experiment_id == id).values(state=State.SUCCEEDED))
        session.execute(sa.update(Experiment).where(Experiment.id == id).values(state=State.SUCCEEDED))


def run_again(sessions: Sessions, id: str) -> None:
    """Every tenth execution of each cell trains still; more of them than a page lists."""
    with sessions.begin() as session:
        tenth = sa.and_(Execution.experiment_id == id, Execution.position % 10 == 1)
        session.execute(sa.update(Execution).where(tenth).values(state=State.RUNNING))
        session.execute(sa.update(Experiment).where(Experiment.id == id).values(state=State.RUNNING))


def _result(draw: random.Random) -> dict[str, Any]:
    def share() -> float:
        return draw.random()

    judged = Judgement(
        measured_on="holdout",
        images=1000,
        correct=draw.randint(600, 700),
        most_frequent=0.1,
        p_value=0.0,
        called_noise=share() / 100,
        findings=[],
    )
    metrics = Metrics(
        test_images=TEST_IMAGES,
        accuracy=0.6 + share() / 10,
        confidence=share(),
        spuriousness=share(),
        true_class_probability=share(),
        noise_per_10000=100 * share(),
        false_reject=share() / 10,
    )
    return {
        "metrics": metrics,
        "details": Details(judgement=judged),
        "holdout_accuracy": 0.6 + share() / 10,
        "losses_by_epoch": [2.3 * share() for _ in range(EPOCHS)],
        "epochs_done": EPOCHS,
        "train_seconds": 100 * share(),
        "images_per_second": 1000 * share(),
        "precision": "float32",
        "device": "cpu",
        "versions": dict.fromkeys(("noisegate", "torch", "numpy", "python"), "1.2.3"),
    }


def _answers() -> bytes:
    """What an execution said of 60,000 test images: two thirds right."""
    generator = np.random.default_rng(1)
    own = np.arange(TEST_IMAGES) % len(CLASSES)
    called = np.where(generator.random(TEST_IMAGES) < 2 / 3, own, generator.integers(0, len(CLASSES), TEST_IMAGES))
    probability = generator.random(TEST_IMAGES)
    judged = Judged({REJECT_SCORE: 1 - probability}, {}, called, called, probability, probability < 0.05)
    table = SampleTable(CLASSES)
    table.add("known", TRAINING_IMAGES + np.arange(TEST_IMAGES), [CLASSES[label] for label in own], judged)
    return table.to_parquet()
