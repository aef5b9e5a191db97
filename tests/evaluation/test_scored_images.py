"""The scored training set: right, exact through its bytes, and the same from a kept model."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from noisegate.evaluation.scored_images import score_images, score_with_weights, scores_from_bytes, scores_to_bytes
from noisegate.learning.cells import prepare_cell
from noisegate.learning.export import export_model
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.manifest import ModelManifest
from tests.learning.factories import cell_data, experiment_spec, run_all

Kept = tuple[ExecutionOutcome, bytes, ModelManifest]


@pytest.fixture(scope="module")
def trained() -> Kept:
    cell = prepare_cell(experiment_spec(noise=None), cell_data(), 0)
    (outcome,) = run_all(cell, [1])
    assert isinstance(outcome, ExecutionOutcome)
    files = export_model(cell, outcome, execution=0)
    return outcome, files.weights, files.manifest


def test_scores_are_the_softmax_of_the_network(trained: Kept) -> None:
    data, result = cell_data(), trained[0].trained
    scored = score_images(result.module, result.preprocessing, data.train_images, data.train_labels)
    with torch.inference_mode():
        pixels = torch.from_numpy(
            np.array(data.train_images[:5], dtype=np.float32) - result.preprocessing.mean.numpy()
        ).permute(0, 3, 1, 2)
        expected = torch.softmax(result.module(pixels)[0].double(), dim=1).numpy()
    assert scored.predictions[:5].tolist() == expected.argmax(axis=1).tolist()
    assert scored.largest[:5] == pytest.approx(expected.max(axis=1), abs=1e-6)
    assert scored.of_true_class[:5] == pytest.approx(expected[range(5), data.train_labels[:5]], abs=1e-6)
    assert scored.labels.tolist() == data.train_labels.tolist()
    correct = scored.predictions == data.train_labels
    assert (scored.largest[correct] == scored.of_true_class[correct]).all()


def test_bytes_bring_them_back_exactly(trained: Kept) -> None:
    data, result = cell_data(), trained[0].trained
    scored = score_images(result.module, result.preprocessing, data.train_images, data.train_labels)
    back = scores_from_bytes(scores_to_bytes(scored))
    for name, array in vars(scored).items():
        assert (getattr(back, name) == array).all()
        assert getattr(back, name).dtype == array.dtype
    assert scores_to_bytes(back) == scores_to_bytes(scored)


def test_a_kept_model_gives_the_very_same_scores(trained: Kept) -> None:
    data, (outcome, weights, manifest) = cell_data(), trained
    direct = score_images(outcome.trained.module, outcome.trained.preprocessing, data.train_images, data.train_labels)
    kept = score_with_weights(weights, manifest, data.train_images, data.train_labels)
    assert scores_to_bytes(kept) == scores_to_bytes(direct)


def test_a_network_that_diverged_is_no_base(trained: Kept) -> None:
    data, (_, weights, manifest) = cell_data(), trained
    tensors = load(weights)
    tensors["network.head.bias"] = torch.full_like(tensors["network.head.bias"], torch.nan)
    with pytest.raises(FloatingPointError):
        score_with_weights(save(tensors), manifest, data.train_images, data.train_labels)
