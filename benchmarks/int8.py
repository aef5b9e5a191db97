"""The embedded backbone in 8 bits: what static quantisation by ONNX Runtime costs and saves.

    python benchmarks/int8.py --archive flowers.tar [--splits 20]

The archive is a tar of <class>/<file>, of which the first 200 of each class are taken. In each split one class, in turn, is
unknown; of the others 80 images a class train a linear layer on features in float32, the rest is tested on. Weights are quantised
by channel, activations by ranges seen on 40 of the photographs. AUROC is that of the reject score, test images against the unknown
class, and against structured noise. `retrained` is a layer that was trained on features of the quantised network, too.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from photograph_heads import Files, Floats, Layer, Places, features_by, first_files, session_of, split, summary
from record import keep
from sklearn.metrics import roc_auc_score

from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.learning.encoding import make_encoder
from noisegate.learning.quantising import in_8_bits
from noisegate.networks.backbones import EMBEDDED, backbone_of
from noisegate.networks.backbones.loading import load
from noisegate.noise.drawing import noise_chunks
from noisegate.spec import TrainingExperiment

_A_CLASS, _TRAINED_ON, _NOISE = 200, 80, 200
_FLOAT, _INT8 = "float32", "int8"

Pixels = npt.NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=20)
    asked = parser.parse_args()
    files, size = first_files(asked.archive, _A_CLASS), backbone_of(EMBEDDED).image_size
    pixels = [decode_image(one, size, ImageLimits()) for one in files.content]
    encoder = make_encoder(load(backbone_of(EMBEDDED), None, None), size)
    graphs = {_FLOAT: encoder.graph, _INT8: in_8_bits(encoder, np.stack(pixels)).graph}
    noise = _noise(pixels, size)
    known = {name: features_by(session_of(graph), pixels) for name, graph in graphs.items()}
    far = {name: features_by(session_of(graph), noise) for name, graph in graphs.items()}
    figures = {
        "splits": asked.splits,
        "megabytes": {name: round(len(graph) / 1e6, 2) for name, graph in graphs.items()},
        "milliseconds": speeds(graphs, pixels[0]),
        **quality(files, known, far, asked.splits),
    }
    for name, found in figures.items():
        print(f"{name}: {found}")
    print(f"Kept in {keep('int8', figures)}")


def speeds(graphs: dict[str, bytes], image: Pixels, rounds: int = 5, times: int = 40) -> dict[str, float]:
    """Milliseconds of a core for one image, the median of rounds that go through all graphs in turn."""
    sessions = {name: session_of(graph) for name, graph in graphs.items()}
    shown, taken = image[np.newaxis], {name: [0.0] * rounds for name in graphs}
    for number in range(rounds):
        for name, session in sessions.items():
            session.run(None, {"images": shown})
            started = time.process_time()
            for _ in range(times):
                session.run(None, {"images": shown})
            taken[name][number] = 1000 * (time.process_time() - started) / times
    return {name: round(float(np.median(found)), 2) for name, found in taken.items()}


def quality(files: Files, known: dict[str, Floats], far: dict[str, Floats], splits: int) -> dict[str, Any]:
    """Accuracy and AUROC in percent, by network and by whether the layer was trained on its features."""
    classes = np.unique(files.labels).tolist()
    found: dict[str, dict[str, list[float]]] = {"accuracy": {}, "auroc_near": {}, "auroc_far": {}}
    for seed in range(splits):
        unknown = classes[seed % len(classes)]
        train, test = split(files.labels, [one for one in classes if one != unknown], _TRAINED_ON, seed)
        near = np.flatnonzero(files.labels == unknown)
        layers = {name: Layer(known[name][train], files.labels[train]) for name in known}
        arms = {_FLOAT: (layers[_FLOAT], _FLOAT)}
        arms |= {_INT8: (layers[_FLOAT], _INT8), f"{_INT8}, retrained": (layers[_INT8], _INT8)}
        for arm, (layer, name) in arms.items():
            measured = _measured(layer, known[name][test], files.labels[test], known[name][near], far[name])
            for metric, value in measured.items():
                found[metric].setdefault(arm, []).append(value)
    return {metric: summary(values, _FLOAT) for metric, values in found.items()}


def _measured(layer: Layer, test: Floats, labels: Places, near: Floats, far: Floats) -> dict[str, float]:
    scores = layer.reject_scores(test)
    against = {"auroc_near": layer.reject_scores(near), "auroc_far": layer.reject_scores(far)}
    return {"accuracy": layer.accuracy(test, labels)} | {
        name: 100
        * float(roc_auc_score(np.repeat([0, 1], [len(scores), len(others)]), np.concatenate([scores, others])))
        for name, others in against.items()
    }


def _noise(pixels: Sequence[Pixels], size: int) -> list[Pixels]:
    document = {"dataset": "any", "noise": {"family": "structured", "quantity": 1}}
    spec = TrainingExperiment.model_validate(document)
    sources = np.stack(pixels[:: max(1, len(pixels) // _NOISE)])
    chunks = noise_chunks(np.random.default_rng(0), spec.noises[0], _NOISE, size, sources)
    return [image for _, chunk in chunks for image in chunk]


if __name__ == "__main__":
    main()
