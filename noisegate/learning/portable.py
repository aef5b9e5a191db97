"""Graphs as most other tools read them: at an opset of some years ago, and without attributes that say what holds anyway."""

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper, version_converter

# The newest whose reductions onnx2torch reads. ONNX Runtime's answers are the same bits as at the exporter's own.
_OPSET = 17


def portable(model: ModelProto) -> ModelProto:
    """The same graph at opset 17; with an operator that came later, such as Gelu, at the opset that it has."""
    constants = {one.name: one for one in model.graph.initializer}
    shapes = {
        node.input[1]: numpy_helper.to_array(constants[node.input[1]])
        for node in model.graph.node
        if node.op_type == "Reshape" and node.input[1] in constants
    }
    for node in model.graph.node:
        for needless in [one for one in node.attribute if _holds_anyway(node, one.name, one.i, shapes)]:
            node.attribute.remove(needless)
    try:
        older = version_converter.convert_version(model, min(_OPSET, opset_of(model)))
    except RuntimeError:  # as the converter says that there is no way back
        return model
    # The converter notes what it infers.
    older.graph.ClearField("value_info")
    return older


def at_one_opset(first: ModelProto, second: ModelProto) -> tuple[ModelProto, ModelProto]:
    """Both at the newer of their opsets, without which they cannot be joined."""
    newer = max(opset_of(first), opset_of(second))
    one, other = (
        model if opset_of(model) == newer else version_converter.convert_version(model, newer)
        for model in (first, second)
    )
    return one, other


def opset_of(model: ModelProto) -> int:
    """Of ONNX's own operators."""
    (version,) = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    return int(version)


def _holds_anyway(node: NodeProto, attribute: str, value: int, shapes: Mapping[str, np.ndarray]) -> bool:
    """Whether an attribute that older opsets or other tools do not know says what they take for granted."""
    if attribute == "noop_with_empty_axes":
        return value == 0
    return attribute == "allowzero" and (value == 0 or bool(shapes.get(node.input[1], np.zeros(1)).all()))
