"""ONNX graphs that look at their image: with random weights, or failing on some images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

from tests.service.factories import IMAGE_SIZE

Weights = Mapping[str, npt.NDArray[Any]]

OUTPUTS = 3
WIDTH = 16


def seeing_onnx(seed: int, *, outputs: int = OUTPUTS, channels: int = 8, depth: int = 0) -> bytes:
    """Convolutions and two dense layers with random weights: another image gets another answer, and so does another seed.

    With 128 channels and a depth of 100 it takes some 30 ms an image, else a tenth of one.
    """
    generator = np.random.default_rng(seed)
    cells = channels * (IMAGE_SIZE // 4) ** 2
    weights = {
        "middle": np.array(127.5, np.float32),
        "scale": np.array(1 / 64, np.float32),
        "kernel": generator.normal(0, 0.15, (channels, 3, 8, 8)).astype(np.float32),
        "again": generator.normal(0, (2 / channels / 9) ** 0.5, (channels, channels, 3, 3)).astype(np.float32),
        "inner": generator.normal(0, (2 / cells) ** 0.5, (cells, WIDTH)).astype(np.float32),
        "outer": generator.normal(0, 1, (WIDTH, outputs)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["values", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["maps"], strides=[4, 4], pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["maps"], ["bent0"]),
        *(node for layer in range(depth) for node in _convolution(f"bent{layer}", f"bent{layer + 1}")),
        helper.make_node("Flatten", [f"bent{depth}"], ["flat"]),
        helper.make_node("Gemm", ["flat", "inner"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["features"]),
        helper.make_node("Gemm", ["features", "outer"], ["logits"]),
    ]
    return _graph_bytes(nodes, weights, outputs=outputs, width=WIDTH)


def _convolution(source: str, target: str) -> Sequence[Any]:
    maps = f"maps of {target}"
    return (
        helper.make_node("Conv", [source, "again"], [maps], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", [maps], [target]),
    )


def _graph_bytes(nodes: Sequence[Any], weights: Weights, *, outputs: int, width: int) -> bytes:
    """A graph from `values`, the image in float32, to `logits` and `features`."""
    graph = helper.make_graph(
        [helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT), *nodes],
        "made_for_tests",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", IMAGE_SIZE, IMAGE_SIZE, 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", outputs]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width]),
        ],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def fails_on_white() -> bytes:
    """Divides by 255 − the mean, so that a white image gives infinity or no number."""
    weights: Weights = {
        "axes": np.array([1, 2], np.int64),
        "white": np.array(255, np.float32),
        "outer": np.random.default_rng(0).normal(0, 1, (3, OUTPUTS)).astype(np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["values", "axes"], ["features"], keepdims=0),
        helper.make_node("Sub", ["white", "features"], ["darkness"]),
        helper.make_node("Div", ["features", "darkness"], ["ratios"]),
        helper.make_node("Gemm", ["ratios", "outer"], ["logits"]),
    ]
    return _graph_bytes(nodes, weights, outputs=OUTPUTS, width=3)


def fails_on_pixel() -> bytes:
    """Looks its answer up in a table of ten rows by the first pixel's red: above 9 the graph itself fails."""
    weights: Weights = {
        "start": np.array([0, 0, 0, 0], np.int64),
        "end": np.array([2**31, 1, 1, 1], np.int64),
        "flat": np.array([-1], np.int64),
        "table": np.random.default_rng(0).normal(0, 1, (10, OUTPUTS)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["values", "start", "end"], ["corner"]),
        helper.make_node("Reshape", ["corner", "flat"], ["numbers"]),
        helper.make_node("Cast", ["numbers"], ["rows"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "rows"], ["logits"]),
        helper.make_node("Identity", ["logits"], ["features"]),
    ]
    return _graph_bytes(nodes, weights, outputs=OUTPUTS, width=OUTPUTS)
