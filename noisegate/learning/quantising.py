"""A backbone's graph in 8 bits: about half the time and a quarter of the size, for nearly the same features.

Static quantisation by ONNX Runtime: weights by channel, activations by the least and the largest that some images give. What it
computes differs between processors: without VNNI, sums of products saturate at 16 bits.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from noisegate.learning.encoding import Encoder

_IMAGES = 40
_QUANTISED = ["Conv", "Add", "GlobalAveragePool", "Clip"]


def in_8_bits(encoder: Encoder, images: UInt8[np.ndarray, "n size size 3"]) -> Encoder:
    """The encoder with a quantised graph; its file of weights stays as it is.

    Args:
        images: of its size, which may be a memory map: ranges are those of 40 of them, spread evenly.
    """
    chosen = images[:: max(1, len(images) // _IMAGES)][:_IMAGES]
    with tempfile.TemporaryDirectory(prefix="noisegate-int8-") as name:
        plain, ready, made = (Path(name) / file for file in ("plain.onnx", "ready.onnx", "made.onnx"))
        plain.write_bytes(encoder.graph)
        quant_pre_process(plain, ready)
        quantize_static(
            ready,
            made,
            _Images(chosen),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=_QUANTISED,
        )
        return replace(encoder, graph=made.read_bytes())


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Images one at a time, as the quantiser asks for them."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self._left: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {"images": np.ascontiguousarray(image)[np.newaxis]}
