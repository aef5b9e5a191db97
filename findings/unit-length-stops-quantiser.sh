#!/usr/bin/env bash
# onnxruntime 1.32.0: the quantiser's preparation ends in a TypeError for networks that give features at length 1.
#
# Expected: a valid graph, which the checker accepts and the same package runs, is prepared for static quantisation.
# Seen: `quant_pre_process` fails at the division by a length that ReduceL2 gave ("object of type 'NoneType' has no len()"), from
# opset 18 on, where its axes are an input. Up to opset 17, where they are an attribute, it works. PyTorch's exporter writes
# torch.nn.functional.normalize and torch.linalg.norm in the former way.
# For who serves with rejection: kNN, Mahalanobis and cosine scores want features at length 1, and just these backbones cannot be
# quantised. The square root of the sum of squares (ReduceSum) is the same number and passes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
"$work/venv/bin/python" - "$work" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.shape_inference import quant_pre_process

folder = sys.argv[1]


def network(opset, length):
    weights = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        *length,
        helper.make_node("Div", ["features", "length"], ["unit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "features at length 1",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("unit", TensorProto.FLOAT, ["batch", 8])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def prepared(name, model):
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    length = np.linalg.norm(session.run(None, {"image": np.ones((1, 3, 16, 16), np.float32)})[0])
    assert abs(length - 1) < 1e-5, "the graph runs, and its features have length 1"
    onnx.save(model, f"{folder}/plain.onnx")
    try:
        quant_pre_process(f"{folder}/plain.onnx", f"{folder}/ready.onnx")
        result = "prepared"
    except TypeError as error:
        result = f"TypeError: {error}"
    print(f"{name}: {result}")
    return result


as_input = [helper.make_node("ReduceL2", ["features", "axes"], ["length"], keepdims=1)]
as_attribute = [helper.make_node("ReduceL2", ["features"], ["length"], axes=[1], keepdims=1)]
by_squares = [
    helper.make_node("Mul", ["features", "features"], ["squares"]),
    helper.make_node("ReduceSum", ["squares", "axes"], ["sum"], keepdims=1),
    helper.make_node("Sqrt", ["sum"], ["length"]),
]
broken = prepared("ReduceL2, opset 20", network(20, as_input))
assert broken == "TypeError: object of type 'NoneType' has no len()", "this behaviour has changed"
assert prepared("ReduceL2, opset 17", network(17, as_attribute)) == "prepared", "this behaviour has changed"
assert prepared("root of ReduceSum, opset 20", network(20, by_squares)) == "prepared", "this behaviour has changed"
PY
