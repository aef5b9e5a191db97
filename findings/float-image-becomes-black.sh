#!/usr/bin/env bash
# openvino 2026.4.1: a float image given to a model that takes uint8 is converted without a word, and 0 … 1 becomes black.
#
# Expected: an input of another type than the model's is refused, as ONNX Runtime refuses it ("Unexpected input data type").
# Seen: OpenVINO casts. An image scaled to 0 … 1, as most networks want it, becomes zeros everywhere but where it is exactly 1, and
# the answer is that to a black image.
# For who serves with rejection: every image gets the same answer, with a confidence that says nothing of the image; if black is
# accepted, everything is. Check the type before: a model's metadata or its input says uint8.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-compile openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper

nodes = [
    helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
    helper.make_node("ReduceMean", ["levels"], ["brightness"], keepdims=0),
]
graph = helper.make_graph(
    nodes,
    "brightness",
    [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 4, 4, 3])],
    [helper.make_tensor_value_info("brightness", TensorProto.FLOAT, [])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()

pixels = np.full((1, 4, 4, 3), 230, np.uint8)
scaled = (pixels / 255).astype(np.float32)
run = openvino.Core().compile_model(openvino.Core().read_model(model), "CPU")
as_levels, as_floats = (float(run({"image": image})[0]) for image in (pixels, scaled))
print(f"OpenVINO: brightness {as_levels:g} of the levels, {as_floats:g} of the same image as 0 to 1")
try:
    onnxruntime.InferenceSession(model).run(None, {"image": scaled})
    refused = ""
except Exception as error:
    refused = str(error)
print(f"ONNX Runtime: {refused[:90]}")
assert (as_levels, as_floats) == (230.0, 0.0), "this behaviour has changed"
assert "Unexpected input data type" in refused, "this behaviour has changed"
PY
