"""Fine-tuning through a worker: activations are made once, runs that stop early end truthfully, the model has its card."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from safetensors.torch import save_file

from noisegate.spec import TrainingExperiment
from noisegate.store import derived, experiments
from noisegate.store.settings import Settings
from noisegate.store.states import State
from noisegate.store.tables import Derived, Execution, Model
from tests import factories
from tests.learning.fine_tuning import BACKBONE, NETWORK, RECIPE, SIZE, made_up
from worker import features
from worker.derived import make_one
from worker.resources import Resources
from worker.training import train_oldest

# Weights that leap about: the holdout's loss is soon at its lowest.
LEAPS = RECIPE | {"learning_rate": 0.2, "layer_decay": 1.0, "epochs": 40, "patience": 2}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With a folder that holds the tiny backbone's weights."""
    (folder := tmp_path / "weights").mkdir()
    save_file(made_up(BACKBONE).state_dict(), folder / f"{BACKBONE}.safetensors")
    return settings.model_copy(update={"weights_dir": folder, "card_images": 5})


def post(resources: Resources, **changes: Any) -> str:
    document = {"dataset": "shades", "network": NETWORK, "image_size": SIZE, "training": LEAPS, "holdout": 0.2}
    with resources.sessions.begin() as session:
        factories.stored_dataset(session, resources.artefacts, image_size=SIZE, train_count=100)
        spec = TrainingExperiment.model_validate(document | changes)
        return factories.queued_experiment(session, spec).id


def all_of(resources: Resources, row: type[Any]) -> list[Any]:
    with resources.sessions.reading() as session:
        return list(session.scalars(sa.select(row).order_by(row.id)))


def test_a_run_that_stops_early_ends_truthfully(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_PIECE", 64)
    id = post(resources, executions=1, noise={"family": "uniform", "quantity": 0.5})
    (row,) = all_of(resources, Derived)
    assert (row.parameters.upto, row.parameters.flipped) == ("blocks.1", True)
    make_one(resources, row.id)
    while any(one.state is State.QUEUED for one in all_of(resources, Execution)):
        train_oldest(resources)
    for one in all_of(resources, Execution):
        assert one.state is State.SUCCEEDED, one.error
        assert one.epochs_done == len(one.losses_by_epoch) < one.epochs == 40
        stopping = one.details.early_stopping
        assert len(stopping.holdout_losses) == one.epochs_done
        assert stopping.holdout_losses[stopping.best_epoch - 1] == min(stopping.holdout_losses)
    with resources.sessions.reading() as session:
        assert experiments.progress(session, [id])[id].share_done == 1
        (model,) = session.scalars(sa.select(Model))
        assert model.card is not None
        assert model.manifest.network == BACKBONE


def test_activations_are_those_of_each_image_and_of_its_mirror_image(resources: Resources) -> None:
    post(resources, executions=1)
    (row,) = all_of(resources, Derived)
    make_one(resources, row.id)
    (row,) = all_of(resources, Derived)
    assert row.total == 100 + 40 + 100
    with resources.sessions.reading() as session:
        files = derived.files_of(session, row.id)
        images = np.load(resources.artefacts.fetch(str(session.get_one(Derived, row.id).dataset.images_digest)))
    made = features.read_features(resources.artefacts, files, 100)
    assert made.flipped is not None
    assert (made.train.shape, made.test.shape, made.flipped.shape) == ((100, 8, 8, 24), (40, 8, 8, 24), (100, 8, 8, 24))
    np.testing.assert_array_equal(made.train[:3], made.encoder(images[:3]))
    np.testing.assert_array_equal(made.flipped[:3], made.encoder(images[:3, :, ::-1]))
