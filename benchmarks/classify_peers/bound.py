"""Decode and network in a loop, no HTTP: what one core can do at most with Pillow and ONNX Runtime. Prints images a second.

python -m classify_peers.bound FOLDER_OF_JPEGS SECONDS
"""

import json
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from classify_peers.onnx_model import OnnxModel

BATCHES = (1, 16)


def images_per_second(model: OnnxModel, files: Sequence[bytes], batch: int, seconds: float) -> float:
    """Over whole batches, for at least `seconds`."""
    turns = cycle(files)
    count = 0
    started = time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds:
        model.logits(np.stack([model.decode(data) for data in islice(turns, batch)]))
        count += batch
    return count / taken


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    model = OnnxModel.of_environment()
    images_per_second(model, files, 1, seconds / 5)
    print(json.dumps({batch: images_per_second(model, files, batch, seconds) for batch in BATCHES}))


if __name__ == "__main__":
    main()
