"""Training on the features of a backbone: here a small network of made-up weights takes a backbone's place."""

import functools
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from noisegate.documents import Source
from noisegate.evaluation.cards import make_card
from noisegate.evaluation.references import make_reference
from noisegate.evaluation.scored_images import score_images, score_with_weights, scores_to_bytes
from noisegate.inference.classifier import Classifier
from noisegate.learning.cells import CellData, CellFeatures, prepare_cell
from noisegate.learning.encoding import Encoder, make_encoder
from noisegate.learning.export import ExportMismatch, export_model, largest_difference
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.learning.quantising import in_8_bits
from noisegate.networks.backbones import backbone_of
from noisegate.networks.preprocessing import Preprocessing
from noisegate.networks.pretrained import LoadedBackbone
from noisegate.rejection.reference import Reference, compute_scores
from noisegate.spec import TrainingExperiment
from tests.learning.factories import cell_data, run_all

SIZE, WIDTH = 32, 24
NETWORK = {"backbone": "tf_efficientnet_lite0"}
SOURCE = Source(name="made-up.safetensors", sha256="0" * 64)


class Small(nn.Module):
    """Two convolutions with batch norm, in evaluation mode; the features are means over the image."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(12)
        self.norm.running_mean = torch.linspace(-0.2, 0.2, 12)
        self.norm.running_var = torch.linspace(0.5, 1.5, 12)
        self.second = nn.Conv2d(12, WIDTH, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.second(self.norm(self.first(images)).relu()).relu().mean(dim=(2, 3))
        return features


@functools.cache
def loaded() -> LoadedBackbone:
    torch.manual_seed(0)
    network = Small().eval().requires_grad_(False)
    levels = Preprocessing(torch.full((3,), 127.0), torch.full((3,), 64.0))
    return LoadedBackbone(backbone_of(NETWORK["backbone"]), network, levels, SOURCE)


@functools.cache
def encoder() -> Encoder:
    return make_encoder(loaded(), SIZE)


@functools.cache
def data() -> CellData:
    images = cell_data(image_size=SIZE)
    features = CellFeatures(encoder()(images.train_images), encoder()(images.test_images), encoder())
    return replace(images, features=features)


def spec(**changes: object) -> TrainingExperiment:
    document = {"dataset": "tinted", "network": NETWORK, "image_size": SIZE, "executions": 1}
    return TrainingExperiment.model_validate(document | {"holdout": 0.2} | changes)


def trained(**changes: object) -> ExecutionOutcome:
    (outcome,) = run_all(prepare_cell(spec(**changes), data(), 0), [7])
    assert isinstance(outcome, ExecutionOutcome)
    return outcome


def test_features_are_those_that_pytorch_computes() -> None:
    images = data().test_images[:20]
    with torch.inference_mode():
        expected = loaded().network(loaded().preprocessing.shown(torch.from_numpy(images.copy()))).numpy()
    found = encoder()(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_how_many_are_computed_at_once() -> None:
    images = data().test_images[:20]
    assert (np.concatenate([encoder()(image[np.newaxis]) for image in images]) == encoder()(images)).all()


@functools.cache
def quantised() -> Encoder:
    return in_8_bits(encoder(), data().train_images)


def test_in_8_bits_features_are_nearly_the_same_and_the_weights_stay() -> None:
    images = data().test_images[:20]
    exact, found = encoder()(images), quantised()(images)
    assert found.dtype == np.float32
    assert not np.array_equal(found, exact)
    assert np.linalg.norm(found - exact) < 0.05 * np.linalg.norm(exact)
    assert (quantised().weights, quantised().source) == (encoder().weights, SOURCE)
    operations = {node.op_type for node in onnx.load_from_string(quantised().graph).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operations


def test_8_bits_are_the_same_bytes_each_time_and_for_any_number_of_images_at_once() -> None:
    assert in_8_bits(encoder(), data().train_images).graph == quantised().graph
    images = data().test_images[:20]
    assert (np.concatenate([quantised()(image[np.newaxis]) for image in images]) == quantised()(images)).all()


def test_a_model_in_8_bits_is_served_as_it_was_trained() -> None:
    images = cell_data(image_size=SIZE)
    made = CellFeatures(quantised()(images.train_images), quantised()(images.test_images), quantised())
    network = NETWORK | {"precision": "int8"}
    cell = prepare_cell(
        spec(network=network, noise={"family": "uniform", "quantity": 1}), replace(images, features=made), 0
    )
    (outcome,) = run_all(cell, [7])
    assert isinstance(outcome, ExecutionOutcome)
    files = export_model(cell, outcome, execution=0)
    logits, served = Classifier(files.onnx, files.manifest).logits(images.test_images)
    assert (served == made.test).all()
    assert (logits[:, :-1].argmax(axis=1) == images.test_labels).mean() > 0.9
    assert files.manifest.spec.model_dump(mode="json")["network"]["precision"] == "int8"


def test_an_encoder_is_its_two_files() -> None:
    read = Encoder(encoder().graph, encoder().weights)
    assert read.source == SOURCE
    assert (read(data().test_images[:3]) == data().test_inputs[:3]).all()
    own = {f"backbone.{name}" for name in loaded().network.state_dict()}
    assert set(read.tensors) == own | {"backbone_mean", "backbone_std"}


def test_it_learns_on_features_and_measures_as_every_network() -> None:
    outcome = trained(noise={"family": "uniform", "quantity": 1})
    assert outcome.metrics.accuracy > 0.9
    assert outcome.holdout_accuracy is not None
    assert outcome.trained.precision == "float32"
    assert len(outcome.trained.losses) == spec().training.epochs


def test_noise_becomes_the_features_of_the_images_that_others_would_be_shown() -> None:
    noise = [{"family": "uniform", "quantity": 0.5}, {"family": "structured", "quantity": 0.5}]
    on_features = prepare_cell(spec(noise=noise), data(), 0)
    shown = TrainingExperiment.model_validate(
        {"dataset": "tinted", "image_size": SIZE, "noise": noise, "holdout": 0.2, "executions": 1}
    )
    on_images = prepare_cell(shown, replace(data(), features=None), 0)
    known = on_images.known_images
    assert on_features.known_images == known
    assert (on_features.labels == on_images.labels).all()
    assert (on_features.inputs == encoder()(on_images.inputs)).all()
    assert (on_features.sample_images == on_images.inputs[:known]).all()


def test_the_same_seed_gives_the_same_layer_and_another_gives_another() -> None:
    first, again = trained(), trained()
    (other,) = run_all(prepare_cell(spec(), data(), 0), [8])
    assert isinstance(other, ExecutionOutcome)
    weights = [one.trained.module.state_dict()["head.weight"] for one in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_changes_no_features() -> None:
    before = data().train_inputs.copy()
    trained()
    assert (data().train_inputs == before).all()


def test_its_model_is_served_as_it_was_measured() -> None:
    cell, outcome = prepare_cell(spec(), data(), 0), trained()
    reference = make_reference(cell, outcome)
    assert reference is not None
    files = export_model(cell, outcome, execution=0, reference=reference)
    assert files.manifest.network == "tf_efficientnet_lite0.in1k"
    assert files.manifest.source == SOURCE
    assert files.reference is not None
    classifier = Classifier(files.onnx, files.manifest, Reference.from_bytes(files.reference))
    logits, features = classifier.logits(data().test_images)
    np.testing.assert_allclose(logits, outcome.test_answers.logits, rtol=1e-3, atol=1e-4)
    assert (features == data().test_inputs).all()
    decided = classifier.classify(data().test_images[:10])
    assert [one.label for one in decided] == [
        cell.classes[at] for at in outcome.test_answers.logits[:10].argmax(axis=1)
    ]
    known, measured = outcome.test_answers.logits[:10, : len(cell.classes)], outcome.test_answers.features[:10]
    expected = compute_scores(known, measured, reference)["knn"]
    assert [one.scores["knn"]["value"] for one in decided] == pytest.approx(expected, rel=1e-6)


def test_a_graph_of_another_layer_is_not_let_through() -> None:
    cell, one = prepare_cell(spec(), data(), 0), trained()
    (other,) = run_all(cell, [8])
    assert isinstance(other, ExecutionOutcome)
    files = export_model(cell, one, execution=0)
    with pytest.raises(ExportMismatch):
        largest_difference(files.onnx, other.trained, data().test_images[:8])


def test_its_card_shows_families_of_images() -> None:
    cell, outcome = (
        prepare_cell(spec(noise={"family": "uniform", "quantity": 1}), data(), 0),
        trained(noise={"family": "uniform", "quantity": 1}),
    )
    card = make_card(cell, outcome, make_reference(cell, outcome), images_per_family=10)
    uniform = next(one for one in card.families if one.name == "uniform")
    assert uniform.trained
    assert uniform.auroc is not None
    assert uniform.auroc > 0.9


def test_cards_of_one_cell_encode_their_images_once_and_alike() -> None:
    calls: list[int] = []

    def counted() -> None:
        calls.append(1)

    cell, outcome = prepare_cell(spec(), data(), 0), trained()
    (other,) = run_all(cell, [8])
    assert isinstance(other, ExecutionOutcome)
    make_card(cell, outcome, None, images_per_family=10, between_chunks=counted)
    of_first = len(calls)
    card = make_card(cell, other, None, images_per_family=10, between_chunks=counted)
    # Asked once a batch of images that the backbone encodes, which is one a family.
    assert of_first - (len(calls) - of_first) == len(card.families)
    assert card == make_card(prepare_cell(spec(), data(), 0), other, None, images_per_family=10)
    assert make_card(cell, other, None, images_per_family=11) != card, "other numbers of images are other images"


def test_a_kept_model_scores_features_as_the_trained_one_does() -> None:
    cell, outcome = prepare_cell(spec(), data(), 0), trained()
    files = export_model(cell, outcome, execution=0)
    one = outcome.trained
    direct = score_images(one.module, one.preprocessing, data().train_inputs, data().train_labels)
    kept = score_with_weights(files.weights, files.manifest, data().train_inputs, data().train_labels)
    assert scores_to_bytes(direct) == scores_to_bytes(kept)


def test_images_are_answered_as_their_features_are() -> None:
    outcome = trained()
    by_image, by_feature = (answer(outcome.trained, inputs)[0] for inputs in (data().test_images, data().test_inputs))
    assert (by_image == by_feature).all()


def test_the_graph_runs_on_one_image_and_on_many() -> None:
    files = export_model(prepare_cell(spec(), data(), 0), trained(), execution=0)
    session = onnxruntime.InferenceSession(files.onnx, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == ["logits", "features"]
    for count in (1, 5):
        logits, features = session.run(["logits", "features"], {"images": data().test_images[:count]})
        assert logits.shape == (count, 3)
        assert features.shape == (count, WIDTH)
