"""Images a second by the Open Inference Protocol, 32 a request: tensors in binary beside tensors in JSON.

    python benchmarks/binary_tensors.py [--seconds 10] [--rounds 3]

One process serves a small model of the bundled digits; tritonclient asks on the other core, one request after another, as it comes
(binary, both ways) and with binary_data=False. Rounds are interleaved; medians, and the ratio within each round. `bodies` are the
same requests made beforehand, so that the server's part shows.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tritonclient.http as triton  # type: ignore[import-untyped]
from clients import train
from record import keep

from noisegate.local import running as local

IMAGES = 32
OUTPUTS = ("probabilities", "noise_probability", "reject_score", "rejected", "label")

Ask = Callable[[], np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to keep the figures, in place of results/binary_tensors.json")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="noisegate-tensors-") as folder,
        local.running(Path(folder), 0, workers=1, isolated=True) as up,
    ):
        train(up.url)
        with triton.InferenceServerClient(up.url.partition("://")[2]) as asking:
            measured = [_round(_ways(asking), asked.seconds) for _ in range(asked.rounds)]
    figures = {way: round(statistics.median(one[way] for one in measured)) for way in measured[0]}
    ratios = {
        kind: statistics.median(one[kind] / one[kind.replace("binary", "json")] for one in measured) for kind in _BINARY
    }
    for way, images in figures.items():
        print(f"{way:>14}: {images:,} images/s")
    print(", ".join(f"{kind} is {ratio:.2f} × its JSON" for kind, ratio in ratios.items()))
    keep(
        "binary_tensors",
        {"images_a_request": IMAGES, "images_per_second": figures, "ratios": ratios, "rounds": measured},
        asked.json,
    )
    return 0


_BINARY = ("binary", "binary bodies")


def _ways(client: triton.InferenceServerClient) -> dict[str, Ask]:
    """How a request is made, by name; all come to the same answers."""
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)

    def inputs(binary: bool) -> list[triton.InferInput]:
        return [
            triton.InferInput("images", list(images.shape), "UINT8").set_data_from_numpy(images, binary_data=binary)
        ]

    def outputs(binary: bool) -> list[triton.InferRequestedOutput]:
        return [triton.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]

    def whole(binary: bool) -> Ask:
        return lambda: client.infer("default", inputs(binary), outputs=outputs(binary)).as_numpy("probabilities")

    def body(binary: bool) -> Ask:
        made = inputs(binary)
        return lambda: client.infer("default", made, outputs=outputs(binary)).as_numpy("probabilities")

    assert np.array_equal(whole(True)(), whole(False)())
    return {"binary": whole(True), "json": whole(False), "binary bodies": body(True), "json bodies": body(False)}


def _round(ways: dict[str, Ask], seconds: float) -> dict[str, float]:
    return {name: _images_per_second(ask, seconds) for name, ask in ways.items()}


def _images_per_second(ask: Ask, seconds: float) -> float:
    ask()
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        ask()
        count += 1
    return count * IMAGES / elapsed


if __name__ == "__main__":
    raise SystemExit(main())
