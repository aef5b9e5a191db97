"""Modules as ONNX graphs."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper, numpy_helper
from torch import Tensor, nn

from noisegate.learning.portable import at_one_opset, portable

LOGITS, FEATURES, ACTIVATIONS = "logits", "features", "activations"
# So that names of the one graph are none of the other.
_EARLY = "early."


def trace(module: nn.Module, image_size: int, outputs: list[str]) -> bytes:
    """The ONNX graph of a module that takes images; its weights keep their names unless two are equal, which are merged.

    Args:
        module: takes uint8 `images` [batch, size, size, 3] and gives what `outputs` name.
    """
    return _trace(module, "images", torch.zeros(2, image_size, image_size, 3, dtype=torch.uint8), outputs)


def joined(early: bytes, late: nn.Module, shape: tuple[int, ...]) -> bytes:
    """A graph that gives `activations`, with the rest of the network after it: it gives `logits` and `features` instead.

    Args:
        late: takes float32 activations [batch, *shape].
    """
    first = compose.add_prefix(onnx.ModelProto.FromString(early), _EARLY, rename_inputs=False, rename_outputs=False)
    rest = onnx.ModelProto.FromString(_trace(late, "shown", torch.zeros(2, *shape), [LOGITS, FEATURES]))
    # A graph that was kept may be older than `portable`, and one half may have an operator that the other lacks.
    both = at_one_opset(portable(first), rest)
    whole = compose.merge_models(*both, io_map=[(ACTIVATIONS, "shown")])
    whole.graph.ClearField("value_info")
    # The merger lists the opsets of both, although they are the same.
    opsets = {one.domain: one for one in whole.opset_import}
    del whole.opset_import[:]
    whole.opset_import.extend(opsets.values())
    graph: bytes = whole.SerializeToString()
    return graph


def _trace(module: nn.Module, takes: str, example: Tensor, outputs: list[str]) -> bytes:
    program = torch.onnx.export(
        module.eval(),
        (example,),
        input_names=[takes],
        output_names=outputs,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    # The exporter's notes hold stack traces, and with them this machine's paths: nothing a model should carry.
    for noted in (model.graph, *model.graph.input, *model.graph.output, *model.graph.node, *model.graph.value_info):
        noted.ClearField("metadata_props")
    # Shapes in between: what joins or quantises graphs leaves some behind that are no longer so, and tract refuses those.
    model.graph.ClearField("value_info")
    graph: bytes = portable(model).SerializeToString()
    return graph


def with_head(graph: bytes, weight: Tensor, bias: Tensor) -> bytes:
    """A graph that gives `features`, with a linear layer on top: it gives `logits` too.

    Args:
        weight: [outputs, width]; `bias`: [outputs].
    """
    model = onnx.ModelProto.FromString(graph)
    for name, tensor in (("head.weight", weight), ("head.bias", bias)):
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(tensor.numpy()), name))
    model.graph.node.append(
        helper.make_node("Gemm", [FEATURES, "head.weight", "head.bias"], [LOGITS], name="head", transB=1)
    )
    batch = model.graph.output[0].type.tensor_type.shape.dim[0].dim_param
    model.graph.output.insert(0, helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, [batch, len(bias)]))
    joined: bytes = model.SerializeToString()
    return joined
