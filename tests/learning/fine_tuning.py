"""The embedded backbone cut in two at a small size of images, and cells that are fine-tuned on it."""

import functools
from dataclasses import replace
from typing import Any

from noisegate.learning.cells import CellData, CellFeatures, PreparedCell, prepare_cell
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.networks.backbones import EMBEDDED, backbone_of
from noisegate.networks.backbones.loading import load
from noisegate.networks.pretrained import LoadedBackbone
from noisegate.spec import TrainingExperiment
from tests.learning.factories import cell_data, run_all

SIZE = 32
NETWORK = {"backbone": "tf_efficientnet_lite0"}
RECIPE = {"recipe": "fine_tune", "epochs": 3, "head_epochs": 1, "batch_size": 16, "patience": None}


@functools.cache
def loaded() -> LoadedBackbone:
    return load(backbone_of(EMBEDDED), None, None)


@functools.cache
def encoder() -> Encoder:
    cut = backbone_of(EMBEDDED).cut
    assert cut is not None
    return make_encoder(loaded(), SIZE, cut.upto)


@functools.cache
def data() -> CellData:
    images = cell_data(train=64, test=24, image_size=SIZE)
    encode = encoder()
    train, test = encode(images.train_images), encode(images.test_images)
    return replace(images, features=CellFeatures(train, test, encode, encode.mirrored(images.train_images)))


def spec(training: dict[str, Any] | None = None, **changes: object) -> TrainingExperiment:
    document = {"dataset": "tinted", "network": NETWORK, "image_size": SIZE, "executions": 1, "holdout": 0.25}
    return TrainingExperiment.model_validate(document | {"training": RECIPE | (training or {})} | changes)


def cell(training: dict[str, Any] | None = None, **changes: object) -> PreparedCell:
    return prepare_cell(spec(training, **changes), data(), 0)


def trained(prepared: PreparedCell, seed: int = 7, **named: Any) -> ExecutionOutcome:
    (outcome,) = run_all(prepared, [seed], **named)
    assert isinstance(outcome, ExecutionOutcome)
    return outcome
