"""What the benchmark asks of a running Noisegate: to train on a folder, to repeat, and what its backbone has computed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import sqlalchemy as sa

from noisegate.client import Noisegate
from noisegate.local import running as local
from noisegate.store import derived
from noisegate.store.packed import open_packed
from noisegate.store.remote import open_artefacts
from noisegate.store.sessions import open_sessions
from noisegate.store.settings import Settings
from noisegate.store.tables import Dataset, Derived
from own_images_parts.photographs import Photographs
from worker.features import read_features

_DRAWS, _SEEDS = 10, 5


@dataclass(frozen=True)
class Split:
    """Features of a dataset's images as Noisegate split them."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


class Stopwatch:
    """Seconds since it was made: by the clock, and of the processor in all processes that this one has started; and how many
    processes wanted a core in the last minute, those of others too.
    """

    def __init__(self) -> None:
        self._clock, self._spent = time.perf_counter(), _processor_seconds()

    def read(self) -> dict[str, float]:
        spent = _processor_seconds() - self._spent
        seconds = time.perf_counter() - self._clock
        return {"seconds": round(seconds, 1), "core_seconds": round(spent, 1), "load": round(os.getloadavg()[0], 1)}


@contextmanager
def installation(folder: Path) -> Iterator[local.Running]:
    """A Noisegate with nothing in it but the digits, in a folder that is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    with local.running(folder, 0, isolated=True) as up:
        yield up


def train_command(up: local.Running, images: Path, name: str) -> dict[str, Any]:
    """`noisegate train FOLDER`, with no options but the dataset's name; then one image is classified by the model."""
    watch = Stopwatch()
    command = [sys.executable, "-m", "noisegate.client.cli", "train", str(images), "--name", name, "--url", up.url]
    subprocess.run(command, check=True)
    with up.client() as client:
        image = next(path for path in sorted(images.rglob("*.jpg")))
        client.models.classify(image.read_bytes())
        return watch.read() | _results(client, name)


def repeated(up: local.Running, name: str) -> dict[str, Any]:
    """50 executions of one cell, whose best model is kept; and five of each of ten draws of noise, of which no model is kept."""
    document = {"preset": "recommended", "dataset": name}
    return {
        "one_cell": _posted(up, [document | {"executions": _DRAWS * _SEEDS, "seed": 1}]),
        "draws_of_noise": _posted(
            up, [document | {"executions": _SEEDS, "keep_models": "none", "seed": 1 + draw} for draw in range(_DRAWS)]
        ),
    }


def _posted(up: local.Running, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds from posting all to the end of all, and the accuracy of each."""
    watch = Stopwatch()
    with up.client() as client:
        posted = [client.experiments.create(document)["id"] for document in documents]
        ended = [client.experiments.wait(id, progress=lambda _: None) for id in posted]
        assert all(one["state"] == "succeeded" for one in ended), [one["error"] for one in ended]
        measured = watch.read()
        rows = [row for id in posted for row in client.experiments.results(id)["rows"]]
    return measured | {"accuracy": [row["accuracy"] for row in rows]}


def features_of(data_dir: Path, name: str) -> Split:
    """What the dataset's executions were trained and tested on, from where their Noisegate keeps it."""
    settings = Settings(data_dir=data_dir, database_url="", artefact_url="")
    artefacts = open_artefacts(settings)
    with open_sessions(settings).reading() as session:
        dataset = session.scalars(sa.select(Dataset).where(Dataset.name == name)).one()
        row = session.scalars(
            sa.select(Derived).where(Derived.dataset_id == dataset.id, Derived.kind == "features")
        ).one()
        found = read_features(artefacts, derived.files_of(session, row.id), dataset.train_count or 0)
        labels = open_packed(artefacts, dataset).labels
    train = len(found.train)
    return Split(np.array(found.train), labels[:train], np.array(found.test), labels[train:])


def folder_of(shown: Photographs, folder: Path) -> Path:
    """The photographs to train on as <class>/*, for upload."""
    for file in shown.train:
        place = folder / file.parent.name / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            os.link(file, place)
    return folder


def _results(client: Noisegate, name: str) -> dict[str, Any]:
    dataset = client.datasets.get(name)
    experiments = [one for one in client.experiments.list() if one["dataset"] and one["dataset"]["name"] == name]
    experiment = experiments[-1]  # the newest come first
    (row,) = client.experiments.results(experiment["id"])["rows"]
    assert row["accuracy"] is not None
    choice = experiment["choice"]
    return {
        "train_images": dataset["train_count"],
        "test_images": dataset["test_count"],
        "chosen": choice["name"] if choice else None,
        "executions": row["n"],
        "accuracy": row["accuracy"]["mean"],
        "standard_error": row["accuracy"]["standard_error"],
        "false_reject": row["false_reject"]["mean"] if row["false_reject"] else None,
    }


def _processor_seconds() -> float:
    children = psutil.Process().children(recursive=True)
    return sum(_spent(process) for process in children)


def _spent(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # it ended between the two looks
    return float(times.user + times.system)
