"""Engines are tried on the device itself; the trial is that of training, and harms nothing."""

from typing import Any

import pytest
import torch
from structlog.testing import capture_logs
from torch import Tensor, nn

from noisegate.learning import choosing
from noisegate.learning.choosing import choose_engine, try_engines
from noisegate.learning.engines import ENGINES, EngineName, engines_for
from noisegate.learning.stacking import FORMS
from noisegate.learning.states import TrainingSet
from noisegate.networks import NETWORKS
from noisegate.networks.building import Start, TrainableNetwork
from noisegate.networks.network import Network
from noisegate.networks.preprocessing import Preprocessing
from noisegate.spec import PaperRecipe, TrainingSpec

from .factories import one_cycle, tinted_images, training_set, training_spec


def on_the_cpu(spec: TrainingSpec | None = None, images: int = 40) -> TrainingSet:
    return training_set(*tinted_images(images, seed=1), spec or training_spec())


def test_a_cpu_is_not_tried_out() -> None:
    assert choose_engine(on_the_cpu(), 50) == "separate"


def test_every_engine_is_tried_and_one_that_cannot_run_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data = on_the_cpu()
    assert set(try_engines(data, 2)) == set(ENGINES)

    def no_kernel(*_: Any) -> Tensor:
        raise RuntimeError("no engine found to execute this\nand where")

    monkeypatch.setitem(FORMS, "grouped", no_kernel)
    seconds = try_engines(data, 2)
    assert set(seconds) == set(ENGINES) - {"grouped"}
    assert all(0 < one < 10 for one in seconds.values())


class Skewed(TrainableNetwork):
    """Claims all stacked forms. Its features are doubled, which those that go layer by layer know nothing of."""

    stacked_forms = ("grouped", "multiplied", "vmapped")

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(8), nn.Flatten(), nn.ReLU())
        self.head = nn.Linear(4, outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = 2 * self.body(images)
        return self.head(features), features

    def initialise(self, generator: torch.Generator, start: Start) -> None:
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=start.first_layer_std, generator=generator)


def build(image_size: int, outputs: int) -> Skewed:
    """What this module is as the module of a network."""
    assert image_size == 8
    return Skewed(outputs)


@pytest.mark.parametrize("std", [0.1, 1e-4])
def test_an_engine_that_computes_another_network_is_left_out(std: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small first weights are, and so however alike all answers."""
    monkeypatch.setitem(NETWORKS, "skewed", Network(name="skewed", summary="", module=__name__))
    spec = training_spec(first_layer_std=std)
    data = training_set(*tinted_images(40, seed=1), spec, network="skewed")
    with capture_logs() as logs:
        assert set(try_engines(data, 2)) == {"separate", "vmapped"}
    assert [(line["event"], line["engine"]) for line in logs] == [
        ("engine_disagrees", "grouped"),
        ("engine_disagrees", "multiplied"),
    ]


def test_an_engine_that_loses_a_bias_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh network's biases are 0, and the recipe's small rate leaves them small: that must not hide it."""
    whole = FORMS["grouped"]

    def without_biases(network: nn.Module, parameters: Any, images: Tensor) -> Tensor:
        lost = {name: 0 * one if name == "body.0.bias" else one for name, one in parameters.items()}
        return whole(network, lost, images)

    monkeypatch.setitem(FORMS, "grouped", without_biases)
    assert set(try_engines(on_the_cpu(PaperRecipe(batch_size=16)), 2)) == set(ENGINES) - {"grouped"}


def test_an_engine_whose_gradients_are_wrong_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FORMS["multiplied"]

    def half_a_gradient(network: nn.Module, parameters: Any, images: Tensor) -> Tensor:
        halved = {name: (one + one.detach()) / 2 for name, one in parameters.items()}
        return whole(network, halved, images)

    monkeypatch.setitem(FORMS, "multiplied", half_a_gradient)
    assert set(try_engines(on_the_cpu(PaperRecipe(batch_size=16)), 2)) == set(ENGINES) - {"multiplied"}


def test_every_engine_computes_the_papers_network_in_bfloat16_too() -> None:
    data = training_set(*tinted_images(40, seed=1), training_spec(), precision="bfloat16")
    assert set(try_engines(data, 2)) == set(ENGINES)


@pytest.mark.parametrize("spec", [training_spec(), one_cycle()])
@pytest.mark.parametrize("network", ["compact", "resnet18"])
def test_networks_with_batch_norm_are_trained_separately(network: str, spec: TrainingSpec) -> None:
    assert engines_for(network, spec, image_size=32) == ("separate",)
    assert choose_engine(elsewhere(network, spec), 50) == "separate"


def test_a_recipe_that_changes_images_is_trained_separately() -> None:
    assert engines_for("paper", one_cycle(), image_size=32) == ("separate",)
    assert set(engines_for("paper", training_spec(), image_size=32)) == set(ENGINES)


def test_what_has_one_engine_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def try_none(data: TrainingSet, executions: int) -> dict[EngineName, float]:
        tried.append(data.network)
        return {"grouped": 1.0, "separate": 2.0}

    monkeypatch.setattr(choosing, "try_engines", try_none)
    monkeypatch.setattr(choosing, "_fastest", {})
    assert choose_engine(elsewhere("compact", one_cycle()), 50) == "separate"
    assert choose_engine(elsewhere("paper", one_cycle()), 50) == "separate"
    assert choose_engine(elsewhere("paper", training_spec()), 50) == "grouped"
    assert tried == ["paper"]


def elsewhere(network: str, spec: TrainingSpec) -> TrainingSet:
    """On a device that is no CPU; there is nothing to compute on it."""
    with torch.device("meta"):
        return TrainingSet(
            images=torch.empty(40, 32, 32, 3, dtype=torch.uint8),
            labels=torch.empty(40, dtype=torch.int64),
            preprocessing=Preprocessing(torch.empty(3), torch.empty(3)),
            network=network,
            outputs=3,
            spec=spec,
            precision="float32",
            known_images=40,
        )


def test_a_broken_device_is_not_taken_for_a_missing_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever error comes first, the device is asked whether it still answers."""

    def broken(*_: Any) -> Tensor:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "default_stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "set_stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    with pytest.raises(torch.AcceleratorError, match="illegal"):
        choosing._tidy(torch.device("cuda"))


def test_the_arithmetic_of_the_trial_is_that_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another one, another engine might be the fastest, or one be chosen that training could not use."""
    flags: list[tuple[bool, bool]] = []

    def note(*_: Any) -> tuple[Tensor, float]:
        flags.append((torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32))
        return torch.ones(2), 1.0

    monkeypatch.setattr(choosing, "_try", note)
    assert torch.backends.cudnn.allow_tf32
    try_engines(on_the_cpu(), 2)
    assert flags == [(True, False)] * len(ENGINES)
