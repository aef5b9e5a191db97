"""What 8 bits would save for the networks that are trained here, at 32 px: milliseconds of a core an image, and megabytes.

    python benchmarks/int8_networks.py [--rounds 9]

Static quantisation by ONNX Runtime, weights by channel, convolutions alone. Weights are fresh ones: nothing is said of accuracy.
Rounds go through both graphs in turn; medians.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from record import keep

from noisegate.learning.export import Served, random_images
from noisegate.learning.graphs import trace
from noisegate.networks.building import Start, fresh_network
from noisegate.networks.preprocessing import Preprocessing

NETWORKS, BATCHES, SIZE, OUTPUTS, TIMES = ("compact", "paper"), (1, 16), 32, 11, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    figures = {name: _compared(name, asked.rounds) for name in NETWORKS}
    for name, found in figures.items():
        print(f"{name}: {found}")
    print(f"Kept in {keep('int8_networks', figures)}")


def _compared(network: str, rounds: int) -> dict[str, dict[str, float]]:
    graph = _graph(network)
    graphs = {"float32": graph, "int8": _quantised(graph)}
    found = {f"milliseconds, batches of {batch}": _milliseconds(graphs, batch, rounds) for batch in BATCHES}
    return {**found, "megabytes": {name: round(len(one) / 1e6, 2) for name, one in graphs.items()}}


def _graph(network: str) -> bytes:
    generator = torch.Generator().manual_seed(0)
    module = fresh_network(network, image_size=SIZE, outputs=OUTPUTS, generator=generator, start=Start()).eval()
    mean = torch.full((3,), 120.0) if module.statistics == "channels" else torch.full((SIZE, SIZE, 3), 120.0)
    preprocessing = Preprocessing(mean, torch.full((3,), 60.0) if module.statistics == "channels" else None)
    return trace(Served(module, preprocessing), SIZE, ["logits", "features"])


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self) -> None:
        self._left = iter(random_images(40, SIZE))

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {"images": image[np.newaxis]}


def _quantised(graph: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="noisegate-int8-") as name:
        plain, ready, made = (Path(name) / file for file in ("plain.onnx", "ready.onnx", "made.onnx"))
        plain.write_bytes(graph)
        quant_pre_process(plain, ready)
        kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(
            ready, made, _Images(), QuantFormat.QDQ, op_types_to_quantize=["Conv"], per_channel=True, **kinds
        )
        return made.read_bytes()


def _milliseconds(graphs: Mapping[str, bytes], batch: int, rounds: int) -> dict[str, float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        for name, graph in graphs.items()
    }
    images = random_images(batch, SIZE)
    taken: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(rounds):
        for name, session in sessions.items():
            session.run(None, {"images": images})
            started = time.process_time()
            for _ in range(TIMES // batch):
                session.run(None, {"images": images})
            taken[name].append(1000 * (time.process_time() - started) / TIMES)
    return {name: round(statistics.median(found), 3) for name, found in taken.items()}


if __name__ == "__main__":
    main()
