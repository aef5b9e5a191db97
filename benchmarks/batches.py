"""Many images in one request, beside decoding and the network alone: POST /classify/batch and binary tensors, 64 images each.

    python benchmarks/batches.py [--before CHECKOUT] [--seconds 10] [--rounds 3] [--model FOLDER]

One core for the server, wrk with two connections on the other. JPEG files of 32 × 32 come as a form, with whole and with minimal
answers, and their pixels as a tensor in binary, by the Open Inference Protocol. The bound is decoding and the network in a loop
without HTTP, in the faster of batches of 1 and 16; of tensors the network alone. All of it is compared by processor time, as images
a second are those of whatever else the machine does; ratios are taken within rounds, which go through all in turn.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classify_peers.bodies import BOUNDARY, FORM, JPEG, write_bodies
from classify_peers.installation import prepare
from classify_peers.line_up import BEFORE, FORM_FIELDS, noisegate
from classify_peers.onnx_model import OnnxModel
from classify_peers.servers import Server, Started, import_path, pinned_to, started
from classify_peers.subjects import scans
from classify_peers.wrk import load, write_script
from record import keep
from rich.table import Table

from noisegate.client.show import console_for

IMAGES, CONNECTIONS, WARM_UP_SECONDS = 64, 2, 2
DECODING, NETWORK = "bound: decoding and network", "bound: network"
TARGET = 0.9
OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class Way:
    """How 64 images are sent: where to, which of the bodies, and what it is compared with."""

    name: str
    path: str
    body: str
    content_type: str
    bound: str
    headers: dict[str, str]
    in_before: bool = True


WAYS = (
    Way("form", "/classify/batch", "form", FORM, DECODING, {}),
    Way("form, minimal answers", "/classify/batch?fields=minimal", "form", FORM, DECODING, {}, in_before=False),
    Way(
        "binary tensor",
        "/v2/models/default/infer",
        "tensor",
        OCTETS,
        NETWORK,
        {"Inference-Header-Content-Length": "0"},
        in_before=False,
    ),
)
Costs = dict[str, float]


def main() -> int:
    asked = _options()
    with tempfile.TemporaryDirectory(prefix="noisegate-batches-") as name:
        folder = Path(name)
        data_dir, model_dir = prepare(scans(), (asked.model or folder).absolute())
        model = OnnxModel(model_dir)
        bodies = write_bodies(folder / "bodies", model, scans().images(), FORM_FIELDS)
        files = [path.read_bytes() for path in sorted(bodies.kind(None)[0].iterdir())]
        _write(folder, files, model)
        servers = [noisegate(data_dir)]
        servers += [noisegate(data_dir, BEFORE, checkout=asked.before)] if asked.before else []
        rounds: list[Costs] = []
        for number in range(asked.rounds):
            found = _bounds(bodies.kind(None)[0], model_dir, asked.seconds)
            for server in servers:
                with started(server, bodies, [min(os.sched_getaffinity(0))], folder) as up:
                    found |= _costs(server, up, folder, asked.seconds)
            rounds.append(found)
            print(f"round {number + 1}: " + ", ".join(f"{way} {cost:.0f} µs" for way, cost in found.items()))
    return _report(rounds, asked.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="checkout of an earlier version, to compare with")
    parser.add_argument("--seconds", type=int, default=10, help="of load by each way in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="folder for the trained model; used again if there is one")
    return parser.parse_args()


def _write(folder: Path, files: Sequence[bytes], model: OnnxModel) -> None:
    """One body of 64 images for each kind."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="{number:02}.jpg"\r\n'
        f"Content-Type: {JPEG}\r\n\r\n".encode()
        + data
        + b"\r\n"
        for number, data in enumerate(files[:IMAGES])
    ]
    pixels = b"".join(model.decode(data).tobytes() for data in files[:IMAGES])
    for kind, body in {"form": b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()]), "tensor": pixels}.items():
        (folder / kind).mkdir()
        (folder / kind / "00").write_bytes(body)


def _costs(server: Server, up: Started, folder: Path, seconds: int) -> Costs:
    """Microseconds of processor time an image, by way."""
    found, core = {}, [max(os.sched_getaffinity(0))]
    for way in WAYS if server.name != BEFORE else [way for way in WAYS if way.in_before]:
        script = folder / "load.lua"
        write_script(script, folder / way.body, way.content_type, way.headers)
        url = up.url.removesuffix(server.path) + way.path
        load(url, script, WARM_UP_SECONDS, core, CONNECTIONS)
        before = up.cpu_seconds()
        answered = load(url, script, seconds, core, CONNECTIONS)
        if answered.refused or answered.broken:
            sys.exit(f"{server.name}, {way.name}: {answered}")
        found[f"{server.name}: {way.name}"] = 1e6 * (up.cpu_seconds() - before) / answered.answered / IMAGES
    return found


def _bounds(files: Path, model_dir: Path, seconds: int) -> Costs:
    environment = {**os.environ, "PYTHONPATH": import_path(), "CLASSIFY_MODEL": str(model_dir)}
    command = [sys.executable, "-m", "classify_peers.bound", str(files), str(seconds)]
    pin = pinned_to(min(os.sched_getaffinity(0)))

    def least(*more: str) -> float:
        ended = subprocess.run([*command, *more], stdout=subprocess.PIPE, env=environment, preexec_fn=pin, check=True)
        found: dict[str, dict[str, Costs]] = json.loads(ended.stdout)
        return min(pace["cpu_us"] for paces in found.values() for pace in paces.values())

    return {DECODING: least(), NETWORK: least("network")}


def _report(rounds: Sequence[Costs], seconds: int) -> int:
    medians = {name: round(statistics.median(each[name] for each in rounds), 1) for name in rounds[0]}
    bounds = {way.name: way.bound for way in WAYS}
    shares = {
        name: round(statistics.median(each[bounds[name.partition(": ")[2]]] / each[name] for each in rounds), 3)
        for name in rounds[0]
        if name not in (DECODING, NETWORK)
    }
    table = Table(title=f"{IMAGES} images a request, processor time; medians of {len(rounds)} rounds")
    for heading in ("", "µs an image", "of the bound"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, cost in medians.items():
        table.add_row(name, f"{cost:.0f}", f"{shares[name]:.2f}" if name in shares else "")
    console_for().print(table)
    figures = {"images": IMAGES, "seconds": seconds, "microseconds": medians, "of_bound": shares, "rounds": rounds}
    print(f"Kept in {keep('batches', figures)}")
    missed = [name for name, share in shares.items() if share < TARGET and not name.startswith(BEFORE)]
    print(f"at least {TARGET} of the bound: " + (f"MISSED by {', '.join(missed)}" if missed else "reached"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
