"""A tiny backbone of timm's with made-up weights, cut in two at a small size of images, and cells that are fine-tuned on it."""

import functools
from dataclasses import replace
from typing import Any

import timm
import torch
from torch import nn

from noisegate.documents import Source
from noisegate.learning.cells import CellData, CellFeatures, PreparedCell, prepare_cell
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.networks.backbones import backbone_of
from noisegate.networks.preprocessing import Preprocessing
from noisegate.networks.pretrained import LoadedBackbone
from noisegate.spec import TrainingExperiment
from tests.learning.factories import cell_data, run_all

SIZE = 32
BACKBONE = "test_efficientnet.r160_in1k"
NETWORK = {"backbone": BACKBONE}
RECIPE = {"recipe": "fine_tune", "epochs": 4, "head_epochs": 1, "batch_size": 16, "patience": None}


def made_up(architecture: str) -> nn.Module:
    """A network of timm's whose weights, and statistics of norms, are drawn."""
    torch.manual_seed(0)
    network: nn.Module = timm.create_model(architecture, num_classes=0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            torch.nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return network.eval().requires_grad_(False)


@functools.cache
def loaded() -> LoadedBackbone:
    levels = Preprocessing(torch.full((3,), 127.0), torch.full((3,), 64.0))
    source = Source(name="made-up.safetensors", sha256="0" * 64)
    return LoadedBackbone(backbone_of(BACKBONE), made_up(BACKBONE), levels, source)


@functools.cache
def encoder() -> Encoder:
    cut = backbone_of(BACKBONE).cut
    assert cut is not None
    return make_encoder(loaded(), SIZE, cut.upto)


@functools.cache
def data() -> CellData:
    images, encode = cell_data(train=80, test=24, image_size=SIZE), encoder()
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
