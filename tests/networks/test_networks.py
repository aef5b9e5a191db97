"""What every network must do, whichever it is: a new one in the table is tested here without another word."""

import functools
import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from noisegate.evaluation.scored_images import score_images, score_with_weights, scores_to_bytes
from noisegate.learning.cells import PreparedCell, prepare_cell
from noisegate.learning.export import ModelFiles, export_model
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import predict
from noisegate.networks import NETWORKS
from noisegate.networks.building import Start, TrainableNetwork, architecture
from noisegate.networks.preprocessing import fitted
from tests.learning.factories import cell_data, experiment_spec, fresh, one_cycle, run_all, tinted_images

OUTPUTS = 4
SIZE = 16

every_network = pytest.mark.parametrize("name", NETWORKS)
# An export traces the graph, which takes the CPU ten seconds for sixty layers.
every_model = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] * (name == "resnet18")) for name in NETWORKS]
)


def start() -> Start:
    images, _ = tinted_images(40, seed=3, image_size=SIZE)
    return Start(first_layer_std=0.1, shown=fitted("channels", images)(torch.from_numpy(images)))


def values(module: nn.Module) -> list[Tensor]:
    """All that a network holds, buffers that no file keeps included."""
    return [one.detach() for one in itertools.chain(module.parameters(), module.buffers())]


def initialised(name: str, seed: int, before: float) -> TrainableNetwork:
    """A network whose memory held `before` (its counters another whole number) until it gave itself its first values."""
    module = architecture(name, image_size=SIZE, outputs=OUTPUTS)
    module.to_empty(device="cpu")
    for tensor in values(module):
        tensor.fill_(before if tensor.is_floating_point() else 7 if before == before else 77)
    module.initialise(torch.Generator().manual_seed(seed), start())
    return module


def as_bytes(module: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in values(module)]


@every_network
@pytest.mark.parametrize("size", [None, 32, 64, 96])
def test_it_takes_images_from_its_least_size_up(name: str, size: int | None) -> None:
    """On tensors without values: shapes alone are asked for. The least size is computed, too."""
    image_size = size or NETWORKS[name].least_image_size
    device = "cpu" if size is None else "meta"
    module = fresh(name, image_size, OUTPUTS) if size is None else architecture(name, image_size=size, outputs=OUTPUTS)
    logits, features = module.train()(torch.randn(3, 3, image_size, image_size, device=device))
    assert logits.shape == (3, OUTPUTS)
    assert features.shape[0] == 3
    assert features.ndim == 2
    assert size or (logits.isfinite().all() and features.isfinite().all())


@every_network
def test_it_gives_every_value_a_first_one_and_the_generator_decides_it(name: str) -> None:
    before = torch.get_rng_state()
    one, again, other = initialised(name, 1, torch.nan), initialised(name, 1, 5.0), initialised(name, 2, 5.0)
    assert all(tensor.isfinite().all() for tensor in values(one))
    assert as_bytes(one) == as_bytes(again)
    assert as_bytes(one) != as_bytes(other)
    assert torch.equal(torch.get_rng_state(), before), "nothing is drawn from the global generator"


@every_network
def test_norms_start_as_if_they_were_not_there(name: str) -> None:
    norms = [layer for layer in initialised(name, 1, torch.nan).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert bool(norms) == (name != "paper")
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        assert (norm.weight == 1).all()
        assert (norm.running_var == 1).all()
        assert not norm.bias.any()
        assert not norm.running_mean.any()
        assert norm.num_batches_tracked == 0


@every_network
def test_logits_are_a_linear_function_of_the_features(name: str) -> None:
    module = initialised(name, 1, torch.nan).eval()
    logits, features = module(torch.randn(5, 3, SIZE, SIZE))
    head = module.head
    assert isinstance(head, nn.Linear)
    torch.testing.assert_close(logits, functional.linear(features, head.weight, head.bias))
    assert features.std() > 1e-3


@every_network
def test_images_do_not_depend_on_each_other_once_it_is_trained(name: str) -> None:
    module = initialised(name, 1, torch.nan).eval()
    images = torch.randn(4, 3, SIZE, SIZE)
    together, alone = module(images)[0], torch.cat([module(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@functools.cache
def kept_model(name: str) -> tuple[PreparedCell, ExecutionOutcome, ModelFiles]:
    """One epoch on a few images of three classes and of noise."""
    spec = experiment_spec(network=name, image_size=SIZE, training=one_cycle(epochs=1, learning_rate=0.01), holdout=0)
    cell = prepare_cell(spec, cell_data(train=48, test=16, image_size=SIZE), 0)
    (outcome,) = run_all(cell, [1])
    assert isinstance(outcome, ExecutionOutcome)
    return cell, outcome, export_model(cell, outcome, execution=0)


@every_model
def test_its_graph_answers_as_it_does(name: str) -> None:
    """Buffers and all: after a training, the means and variances of norms are no longer those that they started with."""
    cell, outcome, files = kept_model(name)
    assert cell.outputs == OUTPUTS, "three classes and noise"
    onnx.checker.check_model(onnx.ModelProto.FromString(files.onnx), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(files.onnx, options, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(5).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    logits, features = session.run(["logits", "features"], {"images": images})
    trained = outcome.trained
    expected_logits, expected_features = predict(trained.module, trained.preprocessing, images)
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-4, atol=1e-4 * np.abs(expected_logits).max())
    np.testing.assert_allclose(features, expected_features, rtol=1e-4, atol=1e-4 * np.abs(expected_features).max())
    assert logits.shape == (7, OUTPUTS)


@every_model
def test_its_file_of_weights_gives_the_very_same_answers(name: str) -> None:
    _, outcome, files = kept_model(name)
    images, labels = tinted_images(20, seed=7, image_size=SIZE)
    trained = outcome.trained
    direct = score_images(trained.module, trained.preprocessing, images, labels)
    kept = score_with_weights(files.weights, files.manifest, images, labels)
    assert scores_to_bytes(kept) == scores_to_bytes(direct)


@every_model
def test_trained_means_and_variances_are_its_own(name: str) -> None:
    """Else the graph's parity above would say nothing of norms."""
    module = kept_model(name)[1].trained.module
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.num_batches_tracked is not None
            assert layer.running_mean.any()
            assert layer.num_batches_tracked > 0
