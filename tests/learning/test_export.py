import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load

from noisegate.learning.cells import PreparedCell, prepare_cell
from noisegate.learning.export import ExportMismatch, ModelFiles, export_model, largest_difference, versions
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import predict
from noisegate.manifest import ModelManifest
from noisegate.networks.building import architecture
from noisegate.networks.preprocessing import Preprocessing

from .factories import CLASSES, cell_data, experiment_spec, fresh, run_all, tinted_images, training_spec

Exported = tuple[PreparedCell, list[ExecutionOutcome], list[ModelFiles]]


@pytest.fixture(scope="module")
def exported() -> Exported:
    cell = prepare_cell(experiment_spec(training=training_spec(epochs=2)), cell_data(), 2)
    results = run_all(cell, [1, 2])
    outcomes = [result for result in results if isinstance(result, ExecutionOutcome)]
    return cell, outcomes, [export_model(cell, outcome, execution=i) for i, outcome in enumerate(outcomes)]


def session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_onnx_answers_as_pytorch_does_on_fresh_images(exported: Exported, batch: int) -> None:
    _, outcomes, files = exported
    random = np.random.default_rng(5).integers(0, 256, (batch, 8, 8, 3), dtype=np.uint8)
    for outcome, model in zip(outcomes, files, strict=True):
        for images in (random, tinted_images(batch, seed=77)[0]):
            logits, features = session(model.onnx).run(["logits", "features"], {"images": images})
            expected_logits, expected_features = predict(outcome.trained.module, outcome.trained.preprocessing, images)
            np.testing.assert_allclose(logits, expected_logits, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(features, expected_features, rtol=1e-4, atol=1e-4)


def test_the_graphs_contract(exported: Exported) -> None:
    model = onnx.ModelProto.FromString(exported[2][0].onnx)
    onnx.checker.check_model(model, full_check=True)
    (images,) = session(exported[2][0].onnx).get_inputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 8, 8, 3])
    outputs = [(output.name, output.shape) for output in session(exported[2][0].onnx).get_outputs()]
    assert outputs == [("logits", ["batch", 4]), ("features", ["batch", 64])]


def test_weights_make_the_network_again(exported: Exported) -> None:
    _, outcomes, files = exported
    tensors = load(files[0].weights)
    preprocessing = Preprocessing(tensors.pop("mean"))
    module = architecture("paper", image_size=8, outputs=4)
    named = {name.removeprefix("network."): tensor for name, tensor in tensors.items()}
    module.load_state_dict(named, assign=True)
    images, _ = tinted_images(9, seed=5)
    trained = outcomes[0].trained
    assert np.array_equal(
        predict(module, preprocessing, images)[0], predict(trained.module, trained.preprocessing, images)[0]
    )


def test_manifest(exported: Exported) -> None:
    cell, outcomes, files = exported
    manifest = files[1].manifest
    assert ModelManifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.outputs == [*CLASSES, "noise"]
    assert (manifest.cell, manifest.execution, manifest.seed) == (2, 1, 2)
    assert manifest.metrics == outcomes[1].metrics
    assert manifest.calibration == outcomes[1].calibration
    assert manifest.dataset_hash == cell.dataset_hash
    assert 0 < manifest.onnx_largest_difference < 1e-3
    assert manifest.versions == versions()
    assert manifest.versions["torch"] == torch.__version__


def test_models_of_one_architecture_keep_their_own_weights(exported: Exported) -> None:
    cell, outcomes, files = exported
    assert files[0].onnx != files[1].onnx
    again = export_model(cell, outcomes[0], execution=0)
    assert again.onnx == files[0].onnx
    assert again.weights == files[0].weights


def test_a_model_names_no_path_of_this_machine(exported: Exported) -> None:
    assert b".py" not in exported[2][0].onnx


def test_equal_weights_are_not_merged_into_one(exported: Exported) -> None:
    """Fresh biases are all zero: an exporter that merges equal tensors would lose their names."""
    cell, (outcome, _), _ = exported
    for parameter in (module := fresh(outputs=4)).parameters():
        torch.nn.init.constant_(parameter, 0.01)
    trained = dataclasses.replace(outcome.trained, module=module)
    files = export_model(cell, dataclasses.replace(outcome, trained=trained), execution=0)
    assert files.manifest.onnx_largest_difference < 1e-3


def test_another_networks_graph_is_a_mismatch(exported: Exported) -> None:
    _, outcomes, files = exported
    images, _ = tinted_images(4, seed=5)
    assert largest_difference(files[0].onnx, outcomes[0].trained, images) < 1e-3
    with pytest.raises(ExportMismatch, match="differ"):
        largest_difference(files[1].onnx, outcomes[0].trained, images)
