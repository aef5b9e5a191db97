"""Where the processor time of one answer to POST /classify goes, layer by layer, on the running service.

    python benchmarks/answer_profile.py [--before CHECKOUT] [--seconds 10] [--rounds 3] [--model FOLDER]

wrk asks with 16 connections; meanwhile py-spy (`pip install py-spy`; it may need root) looks at the service's Python stacks 200
times a second, without halting it. A look counts for the innermost layer that its stack is in; looks at threads that wait for work
count for none. Microseconds are shares of these looks of the processor time that an answer took while nobody looked. The kernel's
part of that is known from the process's own clock, and taken from the layer in which sockets are written and read. Where several
threads compete for the interpreter, a look also counts one that waits for it. --before profiles an earlier version beside this one.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from classify_peers.bodies import write_bodies
from classify_peers.installation import prepare
from classify_peers.line_up import BEFORE, FORM_FIELDS, noisegate
from classify_peers.onnx_model import OnnxModel
from classify_peers.servers import Server, Started, started
from classify_peers.subjects import scans
from classify_peers.wrk import load, write_script
from record import keep
from rich.table import Table

from noisegate.client.show import console_for

RATE = 200
SOCKETS = "event loop, HTTP parser, sockets"
# By what a frame's file ends in or has in it; of a stack the innermost frame that is named here decides.
LAYERS = {
    "network (ONNX Runtime)": ("onnxruntime/",),
    "decoding": ("noisegate/inference/fast_jpeg", "noisegate/inference/decoding", "noisegate/inference/containers"),
    "scores and rule": ("noisegate/rejection/",),
    "JSON": ("service/classify/schemas.py",),
    "metrics": ("prometheus_client/", "service/measuring.py"),
    "host, key, limits, request name": (
        *("service/guard.py", "service/access.py", "service/limits.py", "service/request_", "service/prefix.py"),
        *("service/heads.py", "service/bodies.py", "proxy_headers.py", "asyncio/timeouts.py", "ipaddress.py"),
    ),
    "queue, batch, threads": (
        *(
            "service/classify/batching.py",
            "service/classify/statistics.py",
            "concurrent/futures/",
            "noisegate/inference/",
        ),
        *("asyncio/futures.py", "asyncio/base_futures.py", "threading.py"),
    ),
    "route and model cache": (
        "service/classify/",
        "service/app.py",
        "service/fast_path.py",
        "service/deps.py",
        "starlette/",
    ),
    SOCKETS: ("uvicorn/", "asyncio/", "service/upgrades.py"),
}
OTHER = "background work"
# Innermost frames of threads without work.
WAITING = ("_worker (concurrent/futures/thread.py", "wait (threading.py")
Profile = dict[str, float]


def main() -> None:
    asked = _options()
    spy = shutil.which("py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if spy is None:
        sys.exit("py-spy looks at the stacks: pip install py-spy")
    with tempfile.TemporaryDirectory(prefix="noisegate-profile-") as name:
        folder = Path(name)
        kept = (asked.model or folder).absolute()
        data_dir, model_dir = prepare(scans(), kept)
        bodies = write_bodies(folder / "bodies", OnnxModel(model_dir), scans().images(), FORM_FIELDS)
        script = folder / "load.lua"
        write_script(script, *bodies.kind(None))
        servers = [noisegate(data_dir)]
        servers += [noisegate(data_dir, BEFORE, checkout=asked.before)] if asked.before else []

        def profile(server: Server) -> Profile:
            with started(server, bodies, [min(os.sched_getaffinity(0))], folder) as up:
                load(up.url, script, 2, [max(os.sched_getaffinity(0))])
                return _profile(up, script, spy, folder / "stacks", asked.seconds)

        rounds = [{server.name: profile(server) for server in servers} for _ in range(asked.rounds)]
    medians = {
        server.name: {
            layer: round(statistics.median(each[server.name][layer] for each in rounds), 1)
            for layer in rounds[0][server.name]
        }
        for server in servers
    }
    _print(medians, asked.rounds)
    print(f"Kept in {keep('answer_profile', {'seconds': asked.seconds, 'rounds': rounds, 'medians': medians})}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="checkout of an earlier version")
    parser.add_argument("--seconds", type=int, default=10, help="of load, with and without looks at it, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="folder for the trained model; used again if there is one")
    return parser.parse_args()


def _profile(up: Started, script: Path, spy: str, stacks: Path, seconds: int) -> Profile:
    """Microseconds of processor time an answer, by layer."""
    core = [max(os.sched_getaffinity(0))]
    before = up.process.cpu_times()
    answered = load(up.url, script, seconds, core).answered
    after = up.process.cpu_times()
    kernel, whole = after.system - before.system, sum(after[:2]) - sum(before[:2])
    looks = [*("--pid", str(up.process.pid)), *("--rate", str(RATE)), *("--duration", str(seconds))]
    watching = subprocess.Popen(
        [spy, "record", "--nonblocking", "--format", "raw", "--output", stacks, *looks],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    load(up.url, script, seconds, core)
    watching.wait()
    counted = by_layer(stacks.read_text().splitlines())
    each = {layer: 1e6 * whole / answered * counted[layer] / counted.total() for layer in (*LAYERS, OTHER)}
    of_kernel = 1e6 * kernel / answered
    return {
        **each,
        SOCKETS: max(0.0, each[SOCKETS] - of_kernel),
        "kernel": of_kernel,
        "all": max(0.0, of_kernel - each[SOCKETS]) + sum(each.values()),
    }


def by_layer(stacks: Iterable[str]) -> Counter[str]:
    """How many looks fell into each layer: of lines of frames, outermost first, with the number of looks behind them."""
    found: Counter[str] = Counter()
    for line in stacks:
        frames, _, looks = line.rpartition(" ")
        if not any(waits in frames.rpartition(";")[2] for waits in WAITING):
            found[_layer(frames.split(";"))] += int(looks)
    return found


def _layer(frames: list[str]) -> str:
    answers = any(file in frame for frame in frames for file in ("uvicorn/", "service/classify/"))
    for frame in reversed(frames if answers else []):
        for layer, files in LAYERS.items():
            if any(file in frame for file in files):
                return layer
    return OTHER


def _print(medians: dict[str, Profile], rounds: int) -> None:
    table = Table(title=f"One answer, microseconds of processor time; medians of {rounds} rounds")
    table.add_column("layer")
    for name in medians:
        table.add_column(name, justify="right")
        table.add_column("%", justify="right")
    for layer in next(iter(medians.values())):
        cells = [(found[layer], 100 * found[layer] / found["all"]) for found in medians.values()]
        table.add_row(layer, *(text for value, share in cells for text in (f"{value:.0f}", f"{share:.0f}")))
    console_for().print(table)


if __name__ == "__main__":
    main()
