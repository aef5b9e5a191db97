"""What kill -9 of a training process costs, with the settings as they are delivered.

    python benchmarks/kill_recovery.py [--times 3]

Trains the same experiment on the digits undisturbed and with its training process killed in the middle, over HTTP only.
Prints how much longer it took; exits with 1 unless every execution was counted once, gave the same numbers, and took at
most 60 s more.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import keep
from rich.console import Console

from noisegate.api.answers import ExecutionAnswer
from noisegate.client import Noisegate
from noisegate.client.resources.experiments import ENDED
from noisegate.client.show import console_for
from noisegate.local import running as local

TARGET_SECONDS = 60
SPEC: dict[str, Any] = {
    "dataset": "digits",
    "executions": 1,
    "training": {"epochs": 10, "batch_size": 16, "first_layer_std": 0.1},
    "noise": {"family": "uniform"},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    console = console_for()
    with (
        tempfile.TemporaryDirectory(prefix="noisegate-bench-") as folder,
        local.running(Path(folder), 0, isolated=True) as up,
        up.client() as client,
    ):
        client.datasets.wait("digits", progress=lambda _: None)
        _run(client, console, disturbed=False)  # the first one also loads PyTorch
        calm_seconds, calm = _run(client, console, disturbed=False)
        runs = [_run(client, console, disturbed=True) for _ in range(times)]
    extra = [round(seconds - calm_seconds, 1) for seconds, _ in runs]
    same = all(row["metrics"] == calm["metrics"] for _, row in runs)
    once = all((row["state"], row["attempt"]) == ("succeeded", 2) for _, row in runs)
    console.print(f"undisturbed {calm_seconds:.1f} s; killed once, {extra} s more; counted once: {once}; same: {same}")
    figures = {
        "undisturbed_seconds": round(calm_seconds, 1),
        "extra_seconds": extra,
        "counted_once": once,
        "same": same,
    }
    console.print(f"Kept in {keep('kill_recovery', figures)}")
    return 0 if once and same and max(extra) <= TARGET_SECONDS else 1


def _run(client: Noisegate, console: Console, *, disturbed: bool) -> tuple[float, ExecutionAnswer]:
    started = time.monotonic()
    id = client.experiments.create(SPEC)["id"]
    if disturbed:
        os.kill(_training_process(client, id), signal.SIGKILL)
    client.experiments.wait(id, progress=lambda _: None)
    seconds = time.monotonic() - started
    (row,) = client.experiments.executions(id)
    console.print(
        f"{'killed' if disturbed else 'undisturbed'}: {seconds:.1f} s, attempt {row['attempt']}, {row['state']}"
    )
    return seconds, row


def _training_process(client: Noisegate, id: str) -> int:
    """The process that trains it, once it is in the middle of its epochs."""
    while True:
        (row,) = client.experiments.executions(id)
        if row["state"] in ENDED:
            sys.exit("it ended before it could be killed: raise the epochs in SPEC")
        if row["worker"] and 3 <= row["epochs_done"] < row["epochs"]:
            return int(row["worker"].rpartition("/")[2])
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
