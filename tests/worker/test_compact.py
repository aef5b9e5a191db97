"""A network with batch norm, by another recipe, through a worker: all that the paper's network can be asked for."""

from typing import Any

import numpy as np
import pytest

from noisegate.inference.classifier import Classifier
from noisegate.learning.cells import prepare_cell
from noisegate.manifest import ModelManifest
from noisegate.rejection.reference import Reference
from noisegate.spec import TrainingExperiment
from noisegate.store import executions, experiments, expiry, leases, models
from noisegate.store.states import State
from noisegate.store.tables import Execution, Experiment
from tests import factories
from worker.checkpoints import Checkpoints
from worker.resources import Resources
from worker.training import train_oldest

SIZE = 16
TRAINING = {
    "recipe": "one_cycle",
    "epochs": 8,
    "batch_size": 20,
    "learning_rate": 0.1,
    "cutout": 4,
    "ema_decay": 0.5,
    "precision": "float32",
}


def spec(**changes: Any) -> TrainingExperiment:
    document = {"dataset": "shades", "image_size": SIZE, "network": "compact", "executions": 1, "holdout": 0.2}
    training = TRAINING | changes.pop("training", {})
    noise = {"noise": {"family": "uniform"}}
    return TrainingExperiment.model_validate(document | noise | {"training": training} | changes)


@pytest.fixture
def resources(resources: Resources) -> Resources:
    """A worker that writes a checkpoint after every epoch, and a dataset of 60 images."""
    settings = resources.settings.model_copy(update={"checkpoint_seconds": 1e-9})
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts, train_count=60, image_size=SIZE)
    return Resources(settings, resources.sessions, resources.artefacts, resources.wakeups, resources.worker)


def post(resources: Resources, **changes: Any) -> str:
    with resources.sessions.begin() as session:
        return factories.queued_experiment(session, spec(**changes)).id


def look(resources: Resources, id: str) -> tuple[Experiment, list[Execution]]:
    with resources.sessions.reading() as session:
        return experiments.get(session, id), list(executions.of_experiment(session, id))


def test_it_is_trained_calibrated_kept_and_served(resources: Resources) -> None:
    id = post(resources)
    train_oldest(resources)
    experiment, (execution,) = look(resources, id)
    assert experiment.state is State.SUCCEEDED, execution.error
    assert execution.metrics is not None
    assert execution.metrics.accuracy == 1.0
    assert execution.holdout_accuracy == 1.0
    assert execution.versions is not None
    assert execution.versions["engine"] == "separate"
    with resources.sessions.reading() as session:
        default = models.get(session, "default")
        card = default.card
    assert card is not None
    assert {family.name for family in card.families} > {"uniform", "solid"}
    manifest = ModelManifest.model_validate_json(resources.artefacts.read(default.manifest_digest))
    assert (manifest.network, manifest.calibration and manifest.calibration.samples) == ("compact", 12)
    assert manifest.spec.model_dump(mode="json")["training"]["recipe"] == "one_cycle"
    reference = Reference.from_bytes(resources.artefacts.read(default.reference_digest or ""))
    classifier = Classifier(resources.artefacts.read(default.onnx_digest), manifest, reference)
    bright, dark = (np.full((1, SIZE, SIZE, 3), level, np.uint8) for level in (190, 60))
    found = classifier.classify(np.concatenate([bright, dark]))
    assert [max(one.probabilities, key=lambda name: one.probabilities[name]) for one in found] == ["bright", "dark"]


class KilledHere(BaseException):
    """Stands for SIGKILL: nothing of the product catches it, so nothing is written after it."""


def test_it_goes_on_where_it_was_and_gives_the_same(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    id = post(resources, keep_models="none", training={"epochs": 4})
    offer = Checkpoints.offer
    trained: list[int] = []

    def offer_then_die(self: Checkpoints, progress: Any, snapshot: Any) -> None:
        trained.append(progress.epoch)
        offer(self, progress, snapshot)
        if trained == [1, 2]:
            raise KilledHere

    monkeypatch.setattr(Checkpoints, "offer", offer_then_die)
    with pytest.raises(KilledHere):
        train_oldest(resources)
    (row,) = look(resources, id)[1]
    assert (row.state, row.checkpoint_epochs) == (State.RUNNING, 2)
    with resources.sessions.begin() as session:
        leases.renew(session, Execution, leases.Lease(row.id, row.owner or "", row.attempt), lease_seconds=-1)
        expiry.reap(session, lease_seconds=20, max_losses=9, error=factories.failure())
    train_oldest(resources)
    assert trained == [1, 2, 3], "the last epoch leaves no checkpoint"
    calm = post(resources, keep_models="none", training={"epochs": 4})
    train_oldest(resources)
    (resumed,), (undisturbed,) = look(resources, id)[1], look(resources, calm)[1]
    assert (resumed.state, resumed.attempt) == (State.SUCCEEDED, 2)
    assert (resumed.losses_by_epoch, resumed.metrics) == (undisturbed.losses_by_epoch, undisturbed.metrics)
    assert resumed.holdout_accuracy == undisturbed.holdout_accuracy


def test_it_is_cancelled_while_training(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    id = post(resources, training={"epochs": 100})
    trained: list[int] = []

    def cancel_then_prepare(*arguments: Any) -> Any:
        with resources.sessions.begin() as session:
            experiments.cancel(session, id)
        return prepare_cell(*arguments)

    monkeypatch.setattr("worker.kinds.classifiers.prepare_cell", cancel_then_prepare)
    monkeypatch.setattr(Checkpoints, "offer", lambda _, progress, _snapshot: trained.append(progress.epoch))
    train_oldest(resources)
    experiment, (execution,) = look(resources, id)
    assert (experiment.state, execution.state) == (State.CANCELLED, State.CANCELLED)
    assert len(trained) < 99, "it did not go on to its end"


def test_subgroups_are_chosen_by_a_base_of_its_own(resources: Resources) -> None:
    """The base's scores come from its weights as they were kept, buffers and all."""
    half = {"correct": "hc", "wrong": "ls", "fraction": 0.5}
    # A rate at which nothing is learnt: some images stay wrong.
    dull = {"epochs": 1, "learning_rate": 1e-9, "ema_decay": None}
    id = post(resources, subgroup=half, noise=None, holdout=0, keep_models="none", training=dull)
    for _ in range(2):
        train_oldest(resources)
    experiment, rows = look(resources, id)
    assert experiment.state is State.SUCCEEDED, [row.error for row in rows]
    (chosen,) = [row.details.subgroup for row in rows if row.details and row.details.subgroup]
    assert chosen.size == (chosen.correct or 0) + (chosen.wrong or 0) > 20
