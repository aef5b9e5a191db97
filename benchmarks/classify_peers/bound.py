"""Decode, resize and network in a loop, no HTTP: what one core can do at most with ONNX Runtime and each decoder. Images a second,
and microseconds of processor time for each.

python -m classify_peers.bound FOLDER_OF_JPEGS SECONDS [network]

With `network` nothing is decoded meanwhile.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classify_peers.onnx_model import OnnxModel

BATCHES = (1, 16)

Decode = Callable[[bytes], npt.NDArray[np.uint8]]


def decoders(model: OnnxModel) -> dict[str, Decode]:
    """Pillow, and simplejpeg where it is installed."""
    found: dict[str, Decode] = {"pillow": model.decode}
    if importlib.util.find_spec("simplejpeg"):
        import simplejpeg

        found["simplejpeg"] = lambda data: model.fitted(simplejpeg.decode_jpeg(data, "RGB"))
    return found


def pace(model: OnnxModel, decode: Decode, files: Sequence[bytes], batch: int, seconds: float) -> dict[str, float]:
    """Over whole batches, for at least `seconds`."""
    turns = cycle(files)
    count = 0
    started, processor = time.perf_counter(), time.process_time()
    while (taken := time.perf_counter() - started) < seconds:
        model.logits(np.stack([decode(data) for data in islice(turns, batch)]))
        count += batch
    return {"per_second": count / taken, "cpu_us": 1e6 * (time.process_time() - processor) / count}


def main() -> None:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    model = OnnxModel.of_environment()
    pixels = {data: model.decode(data) for data in files}
    ways = {"network": pixels.__getitem__} if sys.argv[3:] == ["network"] else decoders(model)
    pace(model, model.decode, files, 1, seconds / 5)
    found = {
        name: {batch: pace(model, decode, files, batch, seconds / 2) for batch in BATCHES}
        for name, decode in ways.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
