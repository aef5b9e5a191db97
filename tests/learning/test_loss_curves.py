"""A fixed seed gives the same losses as it did when this file of curves was written, whatever was rebuilt since.

`python -m tests.learning.test_loss_curves` writes the file anew: only for a change that is meant to change the numbers.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from noisegate.learning.training import Trained
from noisegate.spec import LearningRateDrop, TrainingSpec

from .factories import tinted_images, train_all, training_spec

FILE = Path(__file__).with_name("loss_curves.json")

# Sums come in another order on another kind of processor.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.02}
DROP = LearningRateDrop(factor=0.1, every_epochs=3)
SPECS: dict[str, Callable[[], TrainingSpec]] = {
    "momentum and drops": lambda: training_spec(epochs=8, learning_rate_drop=DROP),
    "no momentum, heavy decay": lambda: training_spec(epochs=6, momentum=0.0, weight_decay=0.3, learning_rate=0.01),
    "equal updates": lambda: training_spec(epochs=8, equal_updates=True),
    "small first weights": lambda: training_spec(epochs=8, first_layer_std=1e-4),
    "bfloat16": lambda: training_spec(epochs=6, precision="bfloat16"),
}


def curve_of(spec: TrainingSpec) -> list[float]:
    images, labels = tinted_images(200, seed=5, image_size=16)
    (trained,) = train_all(images, labels, spec=spec, seeds=[2026], known_images=150)
    assert isinstance(trained, Trained)
    return list(trained.losses)


@pytest.mark.parametrize("name", SPECS)
def test_a_fixed_seed_still_gives_the_losses_on_file(name: str) -> None:
    kept = json.loads(FILE.read_text())
    spec = SPECS[name]()
    assert curve_of(spec) == pytest.approx(kept[name], rel=TOLERANCE[spec.precision], abs=1e-3)


if __name__ == "__main__":
    FILE.write_text(json.dumps({name: curve_of(spec()) for name, spec in SPECS.items()}, indent=1) + "\n")
