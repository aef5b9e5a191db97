"""Graphs at an older opset: whether they answer as before, to the bit, and what stays where it cannot be otherwise."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper, version_converter
from torch import nn

from noisegate.learning.export import Served
from noisegate.learning.graphs import joined, trace
from noisegate.learning.portable import opset_of, portable
from tests.learning.fine_tuning import SIZE, cell, encoder, trained

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


class Small(nn.Module):
    """Reductions, which opset 18 has changed, and an activation of choice."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        active: torch.Tensor = self.activation(images.to(torch.float32) / 64)
        return active.mean(dim=(1, 2)).flatten(1)


def exported(activation: nn.Module) -> ModelProto:
    return onnx.load_from_string(trace(Small(activation), 8, ["features"]))


def test_a_network_is_put_at_an_opset_that_others_read() -> None:
    graph = exported(nn.ReLU())
    assert opset_of(graph) == 17
    assert not [one.name for node in graph.graph.node for one in node.attribute if one.name == "noop_with_empty_axes"]
    expected = Small(nn.ReLU())(torch.tensor(IMAGES)).numpy()
    (found,) = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"images": IMAGES})
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_operator_that_came_later_keeps_its_opset() -> None:
    graph = exported(nn.GELU())
    assert opset_of(graph) >= 20
    assert "Gelu" in {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize(("shape", "stays"), [([-1, 12], False), ([0, 12], True)])
def test_zeros_in_a_shape_mean_what_they_meant(shape: list[int], stays: bool) -> None:
    """With `allowzero`, 0 is a length; without, it is the input's."""
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], allowzero=1)
    graph = helper.make_graph(
        [node],
        "reshape",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(shape), "shape")],
    )
    model = portable(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    assert bool(model.graph.node[0].attribute) is stays
    run = onnxruntime.InferenceSession(model.SerializeToString()).run
    empty: Any = np.zeros((0, 3, 4), np.float32)
    assert run(None, {"x": empty})[0].shape == (0, 12)


def test_a_backbone_that_was_kept_at_another_opset_is_joined() -> None:
    """Encoders are kept on disk: one may be of an earlier version, or have an operator that the later layers lack."""
    prepared = cell()
    outcome = trained(prepared).trained
    late = Served(outcome.module, outcome.preprocessing)
    early = encoder().graph
    raised = version_converter.convert_version(onnx.load_from_string(early), 20).SerializeToString()
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    answers = []
    for graph in (early, raised):
        whole = joined(graph, late, prepared.inputs.shape[1:])
        assert opset_of(onnx.load_from_string(whole)) == 17
        answers.append(onnxruntime.InferenceSession(whole).run(None, {"images": images}))
    assert all(np.array_equal(one, other) for one, other in zip(*answers, strict=True))
