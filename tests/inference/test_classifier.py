import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from onnx import TensorProto, helper

from noisegate.errors import InvalidInput
from noisegate.inference.classifier import Classifier
from noisegate.inference.runtimes import UnusableModel
from noisegate.rejection.decision import Decider, DecisionOptions
from noisegate.rejection.reference import Reference
from tests.rejection.manifests import manifest, reference

SIZE = 8


def onnx_model(
    outputs: int = 3,
    *,
    images: str = "images",
    dtype: int = TensorProto.UINT8,
    features: str = "features",
    batch: str | int = "n",
    weights: np.ndarray | None = None,
) -> bytes:
    """features = mean of each channel, logits = features @ weights."""
    if weights is None:
        weights = np.arange(3 * outputs, dtype=np.float32).reshape(3, outputs)
    nodes = [
        helper.make_node("Cast", [images], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], [features], keepdims=0),
        helper.make_node("MatMul", [features, "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info(images, dtype, [batch, SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, outputs]),
            helper.make_tensor_value_info(features, TensorProto.FLOAT, [batch, 3]),
        ],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
            helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel().tolist()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def random_images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)


def test_logits_and_features_are_the_graphs() -> None:
    images = random_images(5)
    logits, features = Classifier(onnx_model(), manifest()).logits(images)
    means = images.mean(axis=(1, 2))
    np.testing.assert_allclose(features, means, rtol=1e-5)
    np.testing.assert_allclose(logits, means @ np.arange(9).reshape(3, 3), rtol=1e-5)
    assert logits.dtype == features.dtype == np.float32


def test_classify_decides_on_those_logits() -> None:
    model = manifest(quantiles=[0.0, 0.1, 1.0])
    classifier = Classifier(onnx_model(weights=np.eye(3, dtype=np.float32) / 10), model)
    images = random_images(4)
    answers = classifier.logits(images)
    assert classifier.classify(images, 0.5) == Decider(model).decide(*answers, [DecisionOptions(0.5)] * 4)
    assert classifier.classify(images, 0.5)[0].threshold == 0.1
    with pytest.raises(InvalidInput):
        classifier.classify(images, 2)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (b"not a model", "does not load"),
        (b"", "does not load"),
        (onnx_model()[:-40], "does not load"),
        (onnx_model(images="pictures"), "pictures"),
        (onnx_model(dtype=TensorProto.FLOAT), "tensor\\(float\\)"),
        (onnx_model(features="embedding"), "embedding"),
        (onnx_model(outputs=4), "names 3 outputs"),
        (onnx_model(batch=1), "does not run"),
        (onnx_model(weights=np.full((3, 3), np.nan, np.float32)), "not finite"),
    ],
)
def test_models_that_are_not_the_manifests(model: bytes, words: str) -> None:
    with pytest.raises(UnusableModel, match=words):
        Classifier(model, manifest())


def test_image_size_of_graph_and_manifest_must_agree() -> None:
    with pytest.raises(UnusableModel):
        Classifier(onnx_model(), manifest(image_size=16))


def test_with_a_reference_features_are_compared_too() -> None:
    found = Classifier(onnx_model(), manifest(), reference(2, width=3))
    images = random_images(3)
    _, features = found.logits(images)
    cosines = features[:, 0] / np.linalg.norm(features, axis=1)
    decisions = found.classify(images)
    assert [one.scores["knn"]["value"] for one in decisions] == pytest.approx(np.sqrt(2 - 2 * cosines), abs=1e-3)
    assert all(one.conformal for one in decisions)
    assert found.nbytes > Classifier(onnx_model(), manifest()).nbytes


@pytest.mark.parametrize("other", [reference(2, width=4), reference(3, width=3)])
def test_a_reference_of_another_model_is_refused(other: Reference) -> None:
    with pytest.raises(UnusableModel, match="reference"):
        Classifier(onnx_model(), manifest(), other)


@pytest.mark.parametrize(
    "images", [random_images(2).astype(np.float32), random_images(2)[0], random_images(2)[:, :4], random_images(0)]
)
def test_images_of_another_kind_are_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 images"):
        Classifier(onnx_model(), manifest()).logits(images)


def test_threads_get_their_own_answers() -> None:
    classifier = Classifier(onnx_model(), manifest())
    batches = [random_images(1 + seed % 4, seed) for seed in range(200)]
    alone = [classifier.logits(batch)[0] for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda batch: classifier.logits(batch)[0], batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "module",
    ["noisegate.inference.classifier", "noisegate.inference.decoding", "noisegate.data.packing"],
)
def test_importing_loads_neither_torch_nor_sql(module: str) -> None:
    code = (
        f"import sys, {module}; print(sorted({{'torch', 'torchvision', 'sqlalchemy', 'fastapi'}} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
