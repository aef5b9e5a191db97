"""Features of several layers of a backbone: what they are, and that they are trained on and served as they are."""

import copy
import functools
from dataclasses import replace

import numpy as np
import torch

from noisegate.inference.classifier import Classifier
from noisegate.learning.cells import CellFeatures, prepare_cell
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.learning.export import export_model
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.quantising import in_8_bits
from noisegate.spec import TrainingExperiment
from tests.learning.factories import cell_data, run_all
from tests.learning.fine_tuning import BACKBONE, SIZE, loaded

IMAGES = cell_data(image_size=SIZE)


@functools.cache
def encoder() -> Encoder:
    return make_encoder(loaded(), SIZE, layers="several")


def test_they_are_roots_at_length_1_of_what_timms_layers_give() -> None:
    images, network, seen = IMAGES.test_images[:20], loaded().network, []
    hooks = [
        network.get_submodule(name).register_forward_hook(lambda *found: seen.append(found[-1].mean(dim=(2, 3))))
        for name in ("blocks.1", "blocks.3")
    ]
    with torch.inference_mode():
        seen.append(network(loaded().preprocessing.shown(torch.from_numpy(images.copy()))))
    for hook in hooks:
        hook.remove()
    parts = [np.sign(one) * np.sqrt(np.abs(one)) for one in (found.double().numpy() for found in seen)]
    expected = np.hstack([one / np.sqrt((one**2).sum(axis=1, keepdims=True)) for one in parts])
    found = encoder()(images)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_an_image_that_excites_nothing_has_finite_features() -> None:
    empty = replace(loaded(), network=_silenced())
    found = make_encoder(empty, SIZE, layers="several")(IMAGES.test_images[:2])
    assert (found == 0).all()


def test_a_model_on_them_is_served_as_it_was_trained() -> None:
    _trained_and_served(encoder())


def test_a_model_on_them_in_8_bits_is_served_as_it_was_trained() -> None:
    quantised = in_8_bits(encoder(), IMAGES.train_images)
    exact, found = (one(IMAGES.test_images[:20]) for one in (encoder(), quantised))
    assert 0 < np.linalg.norm(found - exact) < 0.2 * np.linalg.norm(exact)
    _trained_and_served(quantised, precision="int8")


def _trained_and_served(used: Encoder, **asked: str) -> None:
    made = CellFeatures(used(IMAGES.train_images), used(IMAGES.test_images), used)
    network = {"backbone": BACKBONE, "layers": "several", **asked}
    document = {"dataset": "tinted", "network": network, "image_size": SIZE, "executions": 1, "holdout": 0.2}
    cell = prepare_cell(TrainingExperiment.model_validate(document), replace(IMAGES, features=made), 0)
    (outcome,) = run_all(cell, [7])
    assert isinstance(outcome, ExecutionOutcome)
    files = export_model(cell, outcome, execution=0)
    logits, served = Classifier(files.onnx, files.manifest).logits(IMAGES.test_images)
    assert (served == made.test).all()
    assert (logits.argmax(axis=1) == IMAGES.test_labels).mean() > 0.9
    assert files.manifest.spec.model_dump(mode="json")["network"] == network | {"weights": "default"}


def _silenced() -> torch.nn.Module:
    """The network with all weights 0, so that no layer gives anything."""
    network = copy.deepcopy(loaded().network)
    for tensor in network.parameters():
        tensor.zero_()
    return network
