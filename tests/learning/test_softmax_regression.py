"""The written-out step of a linear layer, beside the step that autograd and PyTorch's own optimizer make."""

from typing import Any

import numpy as np
import pytest
import torch

from noisegate.learning import engines
from noisegate.learning.training import Trained
from noisegate.networks.linear.module import LinearHead
from noisegate.spec.recipes import LinearRecipe

from .factories import train_all

WIDTH, OUTPUTS, IMAGES = 40, 5, 100


def trained(noise_weight: float = 1.0, **changes: object) -> Trained:
    generator = np.random.default_rng(0)
    features = generator.normal(0, 1, (IMAGES, WIDTH)).astype(np.float32)
    labels = generator.integers(0, OUTPUTS, IMAGES)
    asked = {"recipe": "linear", "epochs": 4, "batch_size": 16, "learning_rate": 0.05, "weight_decay": 0.1}
    spec = LinearRecipe.model_validate(asked | changes)
    named = {"spec": spec, "seeds": [3], "known_images": IMAGES, "outputs": OUTPUTS, "noise_weight": noise_weight}
    (one,) = train_all(features, labels, network="linear", **named)
    assert isinstance(one, Trained)
    return one


@pytest.mark.parametrize(
    "changes", [{}, {"momentum": 0.0}, {"weight_decay": 0.0}, {"batch_size": 512}, {"noise_weight": 0.2}]
)
def test_it_is_the_step_that_autograd_makes(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    written = trained(**changes)
    monkeypatch.setattr(engines, "is_written_out", lambda *_: False)
    recorded = trained(**changes)
    assert written.losses == pytest.approx(recorded.losses, rel=1e-6)
    assert isinstance(written.module, LinearHead)
    for name, values in recorded.module.state_dict().items():
        torch.testing.assert_close(written.module.state_dict()[name], values, rtol=1e-5, atol=1e-7)


def test_the_linear_recipe_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("written out")

    monkeypatch.setattr(engines, "descend", refuse)
    with pytest.raises(AssertionError, match="written out"):
        trained()
