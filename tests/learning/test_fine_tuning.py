"""Fine-tuning the later layers of a backbone: what is learnt when, what is kept, and that it is served as it was measured."""

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from sklearn.metrics import log_loss

from noisegate.evaluation.cards import make_card
from noisegate.evaluation.references import make_reference
from noisegate.evaluation.scored_images import score_images, score_with_weights, scores_to_bytes
from noisegate.inference.classifier import Classifier
from noisegate.learning.augmentation import flipped_as_drawn
from noisegate.learning.export import export_model
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.learning.states import Beside, fresh_state, make_training_set
from noisegate.learning.stopping import best_epoch
from noisegate.learning.training import Together
from noisegate.rejection.reference import Reference
from noisegate.spec.fine_tuning import FineTuneRecipe

from .factories import run_all
from .fine_tuning import NETWORK, RECIPE, cell, data, encoder, loaded, spec, trained
from .test_checkpoints import Keeper, parts

LEARNS = {"learning_rate": 0.01, "epochs": 7}
NOISE = {"family": "uniform", "quantity": 0.5}


def recipe(**changes: Any) -> FineTuneRecipe:
    return FineTuneRecipe.model_validate(RECIPE | changes)


def weights_of(outcome: ExecutionOutcome) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in outcome.trained.module.state_dict().items()}


def test_it_learns_and_measures_as_every_network() -> None:
    outcome = trained(cell(LEARNS))
    assert outcome.metrics.accuracy > 0.9
    assert outcome.holdout_accuracy is not None
    assert outcome.trained.precision == "float32"
    assert len(outcome.trained.losses) == 7
    assert outcome.trained.holdout_losses == ()


def test_flipped_copies_are_computed_of_flipped_images() -> None:
    prepared = cell(noise=NOISE)
    known = prepared.known_images
    assert prepared.flipped is not None
    assert prepared.flipped.shape == prepared.inputs.shape
    expected = encoder()(prepared.sample_images[:, :, ::-1])
    np.testing.assert_array_equal(prepared.flipped[:known], expected)
    assert not np.allclose(prepared.flipped[:known], prepared.inputs[:known, :, ::-1], atol=1e-3)
    # Noise is flipped, too: it has another copy than its own.
    assert len(prepared.inputs) > known
    assert not np.allclose(prepared.flipped[known:], prepared.inputs[known:], atol=1e-3)


def test_each_image_is_shown_as_drawn() -> None:
    images, flipped = torch.arange(4.0).view(4, 1, 1, 1), 10 + torch.arange(4.0).view(4, 1, 1, 1)
    draws = torch.tensor([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]])
    shown = flipped_as_drawn(images, flipped, torch.tensor([2, 0, 3]), draws)
    assert shown.flatten().tolist() == [2, 10, 13]


def test_the_head_learns_first_and_norms_keep_their_statistics() -> None:
    keeper = Keeper()
    outcome = trained(cell({"learning_rate": 0.01, "head_epochs": 2}), on_checkpoint=keeper)
    begun = {f"network.layers.{name}": tensor for name, tensor in loaded().network.state_dict().items()}
    after = [parts(keeper.by_epoch[epoch])[1] for epoch in (1, 2, 3)]
    layers = [name for name in after[0] if name.startswith("network.layers.")]
    assert all(torch.equal(begun[name], one[name]) for one in after[:2] for name in layers)
    assert not torch.equal(after[0]["network.head.weight"], after[1]["network.head.weight"])
    statistics = [name for name in layers if "running" in name or "num_batches" in name]
    assert statistics
    changed = {name for name in layers if not torch.equal(begun[name], after[2][name])}
    assert changed == set(layers) - set(statistics)
    module = outcome.trained.module.state_dict()
    assert all(torch.equal(begun[name], module[name.removeprefix("network.")]) for name in statistics)


def test_deeper_blocks_learn_more_slowly() -> None:
    asked = recipe(layer_decay=0.5, learning_rate=0.01)
    beside = Beside(pretrained=encoder().layers)
    inputs, labels = np.array(data().train_inputs), np.array(data().train_labels)
    network = spec().trained_network
    state = fresh_state(make_training_set(inputs, labels, network, 3, asked, torch.device("cpu"), 80, beside), 0)
    rates = {id(one): group["lr"] for group in state.optimizer.param_groups for one in group["params"]}
    decays = {id(one): group["weight_decay"] for group in state.optimizer.param_groups for one in group["params"]}
    found = {name: rates[id(one)] / asked.rate_at(0, 1) for name, one in state.module.named_parameters()}
    assert found["head.weight"] == 1
    assert (found["layers.conv_head.weight"], found["layers.bn2.weight"]) == (0.5, 0.5)
    assert len(set(found.values())) == len({name.split(".")[2] for name in found if "blocks" in name}) + 2
    assert all(decays[id(one)] == (0.05 if one.ndim > 1 else 0) for one in state.module.parameters())


def test_the_rate_rises_while_the_head_learns_and_falls_afterwards() -> None:
    asked = recipe(epochs=5, head_epochs=2, learning_rate=1)
    rates = [asked.rate_at(update, 10) for update in range(50)]
    assert max(rates) == rates[19] == 1
    assert all(one < other for one, other in pairwise(rates[:20]))
    assert all(one > other for one, other in pairwise(rates[19:]))
    assert 0 < rates[-1] < 0.05


@pytest.mark.parametrize("changes", [{"patience": 2}, {"flip": False}], ids=["early stopping", "no flips"])
def test_resumed_after_any_epoch_is_as_undisturbed(changes: dict[str, Any]) -> None:
    prepared = cell(LEARNS | {"epochs": 4, "head_epochs": 2} | changes)
    keeper = Keeper()
    undisturbed = trained(prepared, on_checkpoint=keeper)
    assert list(keeper.by_epoch) == [1, 2, 3]
    for checkpoint in keeper.by_epoch.values():
        resumed = trained(prepared, resume={7: checkpoint})
        assert weights_of(resumed) == weights_of(undisturbed)
        assert resumed.trained.losses == undisturbed.trained.losses
        assert resumed.trained.holdout_losses == undisturbed.trained.holdout_losses


# Weights leap about: the holdout's loss is at its lowest after one, two or four epochs.
LEAPS = {"learning_rate": 0.02, "layer_decay": 1.0, "epochs": 12, "head_epochs": 1, "patience": 1}


def test_it_stops_after_patience_and_keeps_the_best_epoch() -> None:
    prepared, keeper = cell(LEAPS), Keeper()
    outcome = trained(prepared, seed=3, on_checkpoint=keeper)
    measured = outcome.trained.holdout_losses
    best = best_epoch(measured)
    assert 1 < best == len(measured) - 1 == len(outcome.trained.losses) - 1 < 11
    assert measured[best - 1] == min(measured)
    # scikit-learn's loss of what the kept weights answer is the one that was lowest, not the last one.
    assert outcome.held is not None
    shares = torch.from_numpy(outcome.held.answers.logits).double().softmax(dim=1).numpy()
    assert log_loss(prepared.holdout_labels, shares, labels=[0, 1, 2]) == pytest.approx(min(measured), rel=1e-5)
    assert list(keeper.by_epoch) == list(range(1, len(measured))), "none is written of a run that has ended"
    best_weights = parts(keeper.by_epoch[best])[1]
    assert torch.equal(best_weights["network.head.weight"], outcome.trained.module.state_dict()["head.weight"])


def test_each_of_those_that_train_together_stops_by_itself() -> None:
    prepared = cell(LEAPS)
    seeds = [1, 2, 3]
    together = run_all(prepared, seeds, together=Together(3, "separate"))
    alone = [trained(prepared, seed) for seed in seeds]
    lengths = [len(one.trained.losses) for one in alone]
    assert len(set(lengths)) > 1, "otherwise this shows little"
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, ExecutionOutcome)
        assert one.trained.holdout_losses == other.trained.holdout_losses
        assert weights_of(one) == weights_of(other)


def test_its_model_is_served_as_it_was_measured() -> None:
    prepared, outcome = cell(LEARNS), trained(cell(LEARNS))
    reference = make_reference(prepared, outcome)
    assert reference is not None
    files = export_model(prepared, outcome, execution=0, reference=reference)
    assert files.manifest.network == NETWORK["backbone"]
    assert files.reference is not None
    classifier = Classifier(files.onnx, files.manifest, Reference.from_bytes(files.reference))
    logits, features = classifier.logits(data().test_images)
    np.testing.assert_allclose(logits, outcome.test_answers.logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(features, outcome.test_answers.features, rtol=1e-3, atol=1e-4)
    # Early layers as they came, later ones as they were tuned, and nothing twice.
    tensors, own = load(files.weights), loaded().network.state_dict()
    layers = {name.removeprefix("network.layers.") for name in tensors if name.startswith("network.layers.")}
    early = {name.removeprefix("backbone.") for name in tensors if name.startswith("backbone.")}
    assert not layers & early
    assert layers | early == set(own)
    assert all(torch.equal(tensors[f"backbone.{name}"], own[name]) for name in early)
    assert json.loads(files.manifest.model_dump_json())["spec"]["training"]["recipe"] == "fine_tune"
    direct = score_images(
        outcome.trained.module, outcome.trained.preprocessing, data().train_inputs, data().train_labels
    )
    kept = score_with_weights(files.weights, files.manifest, data().train_inputs, data().train_labels)
    assert scores_to_bytes(direct) == scores_to_bytes(kept)


def test_images_are_answered_as_their_activations_are() -> None:
    outcome = trained(cell())
    by_image, by_activation = (answer(outcome.trained, one)[0] for one in (data().test_images, data().test_inputs))
    assert (by_image == by_activation).all()


def test_its_card_and_scores_are_of_the_tuned_features() -> None:
    prepared = cell(LEARNS, noise=NOISE)
    outcome = trained(prepared)
    reference = make_reference(prepared, outcome)
    assert reference is not None
    width = outcome.test_answers.features.shape[1]
    assert reference.fitted["knn"]["features"].shape[1] == width == 256
    card = make_card(prepared, outcome, reference, images_per_family=5)
    assert next(one for one in card.families if one.name == "uniform").trained
