#!/usr/bin/env bash
# openvino 2026.4.1 and onnxruntime 1.32.0: an image with a NaN in it gets a class and full certainty, in each by another operator.
#
# Expected: NaN spreads. An image of floats in which one value is NaN (0 / 0 in a caller's normalisation of a blank image is
# enough) has NaN logits, which every check finds, as NumPy, torch and ONNX's reference evaluator compute it.
# Seen: in OpenVINO Relu, Clip and Max turn NaN into 0 or the bound, so that a network of MatMul, Relu, MatMul, Add, Softmax
# answers with what its biases alone give: 0.976 for class 0. In ONNX Runtime these three keep NaN, but GlobalMaxPool,
# ReduceMax and ArgMax pass over it: a network that pools by maximum is as certain as if the value were not there, and of
# the logits 0.1, NaN, 0.7 ArgMax answers 2 where NumPy answers 1.
# ONNX does not say what NaN does. That of OpenVINO's Relu is reported and open, ReduceMax of ONNX Runtime since 2022.
# For who serves with rejection: "reject if the probabilities are not finite" guards nothing once the model runs in such
# a runtime; the images that nobody can judge are accepted. Check the input for NaN, not the output.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

NAN = float("nan")
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def answers(nodes: list[onnx.NodeProto], held: dict[str, np.ndarray], image: np.ndarray, whole: bool) -> dict[str, str]:
    """What each runtime makes of this image, as text; `whole` if the result is a number of a class."""
    kind = TensorProto.INT64 if whole else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["images", *image.shape[1:]])],
        [helper.make_tensor_value_info("answer", kind, ["images", "values"])],
        [numpy_helper.from_array(values, name) for name, values in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    stored = model.SerializeToString()
    session = onnxruntime.InferenceSession(stored, providers=["CPUExecutionProvider"])
    compiled = openvino.Core().compile_model(openvino.Core().read_model(stored), "CPU", EXACT)
    results = {
        "reference": ReferenceEvaluator(model).run(None, {"image": image})[0],
        "onnxruntime": session.run(None, {"image": image})[0],
        "openvino": compiled({"image": image})[0],
    }
    return {who: " ".join(f"{value:.3g}" for value in np.asarray(values).ravel()) for who, values in results.items()}


weights = np.array([[1, -1, 0.5], [0.5, 2, -1], [-1, 0.5, 1]], np.float32)
node = helper.make_node
with_relu = [
    node("MatMul", ["image", "first"], ["hidden"]),
    node("Relu", ["hidden"], ["active"]),
    node("MatMul", ["active", "second"], ["products"]),
    node("Add", ["products", "bias"], ["logits"]),
    node("Softmax", ["logits"], ["answer"], axis=1),
]
with_pool = [
    node("GlobalMaxPool", ["image"], ["pooled"]),
    node("Flatten", ["pooled"], ["features"]),
    node("MatMul", ["features", "first"], ["logits"]),
    node("Softmax", ["logits"], ["answer"], axis=1),
]
flat = np.array([[0.2, NAN, 0.9]], np.float32)
planes = np.array([[[[0.2, NAN, 0.9]], [[0.1, 0.3, 0.2]], [[3.0, 0.4, 0.5]]]], np.float32)
axis = {"axis": np.array([1], np.int64)}
seen = {
    "MatMul, Relu, MatMul, Add, Softmax": answers(
        with_relu, {"first": weights, "second": weights, "bias": np.array([4, 0, -1], np.float32)}, flat, False
    ),
    "GlobalMaxPool, MatMul, Softmax": answers(with_pool, {"first": weights * 4}, planes, False),
    "ReduceMax of 0.1, NaN, 0.7": answers(
        [node("ReduceMax", ["image", "axis"], ["answer"])], axis, np.array([[0.1, NAN, 0.7]], np.float32), False
    ),
    "ArgMax of 0.1, NaN, 0.7": answers(
        [node("ArgMax", ["image"], ["answer"], axis=1)], {}, np.array([[0.1, NAN, 0.7]], np.float32), True
    ),
}
for what, result in seen.items():
    print(f"{what}: {result}")
assert seen == {
    "MatMul, Relu, MatMul, Add, Softmax": {
        "reference": "nan nan nan", "onnxruntime": "nan nan nan", "openvino": "0.976 0.0179 0.00657",
    },
    "GlobalMaxPool, MatMul, Softmax": {
        "reference": "nan nan nan", "onnxruntime": "1.38e-09 0.00041 1", "openvino": "1.38e-09 0.00041 1",
    },
    "ReduceMax of 0.1, NaN, 0.7": {"reference": "nan", "onnxruntime": "0.7", "openvino": "0.7"},
    "ArgMax of 0.1, NaN, 0.7": {"reference": "1", "onnxruntime": "2", "openvino": "2"},
}, "this behaviour has changed"  # fmt: skip
PY
