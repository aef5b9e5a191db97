"""What the long CIFAR-10 benchmarks share: a Noisegate on a directory that keeps what was done, so that they can go on."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from noisegate.api.answers import ExperimentAnswer
from noisegate.api.result_answers import ResultsAnswer
from noisegate.client import Noisegate
from noisegate.client.progress import ProgressDisplay
from noisegate.client.result_tables import results_table
from noisegate.client.show import console_for
from noisegate.local import running as local

DATASET = "cifar10"


def options(description: str | None, *, epochs: int) -> argparse.ArgumentParser:
    """The options that long benchmarks share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="train/<class>/*, test/<class>/* as tar.xz")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="kept: what an earlier run finished is not repeated"
    )
    parser.add_argument("--url", help="a running Noisegate on that directory; without it, one is started")
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--executions", type=int, default=1)
    return parser


@contextmanager
def noisegate_with_cifar10(asked: argparse.Namespace) -> Iterator[tuple[Noisegate, Console]]:
    """A client of a Noisegate that has the archive as its dataset `cifar10`."""
    console = console_for()
    if asked.url:
        with Noisegate(asked.url) as client:
            _ensure_dataset(client, console, asked.archive)
            yield client, console
        return
    with local.running(asked.data_dir, 0, isolated=True) as up, up.client() as client:
        _ensure_dataset(client, console, asked.archive)
        yield client, console


def command_of(asked: argparse.Namespace) -> str:
    """What to type to measure it again; where the archive and the directory lay does not matter."""
    settings = [(name, value) for name, value in vars(asked).items() if isinstance(value, int)]
    words = [f"--{name.replace('_', '-')} {value}" for name, value in settings]
    return " ".join(
        ["python", f"benchmarks/{Path(sys.argv[0]).name}", "--archive CIFAR10.tar.xz --data-dir RUNS", *words]
    )


def side_by_side(name: str, asked: argparse.Namespace, noises: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of an experiment with a cell for each kind of noise; each keeps its best model. `name` finds it again."""
    return {
        "name": f"{name}, {asked.epochs} epochs",
        "dataset": DATASET,
        "training": {"epochs": asked.epochs},
        "holdout": 0.1,
        "executions": asked.executions,
        "keep_models": "best",
        "sweep": {"noise": list(noises.values())},
    }


def run_or_resume(client: Noisegate, console: Console, spec: Mapping[str, Any]) -> ResultsAnswer:
    """The results of the experiment of this name, which is posted if there is none; waits for its end."""
    known = next((found for found in client.experiments.list() if found["name"] == spec["name"]), None)
    experiment: ExperimentAnswer = known or client.experiments.create(spec)
    with ProgressDisplay(console, "training") as progress:
        experiment = client.experiments.wait(experiment["id"], progress=progress.show_experiment)
    if experiment["state"] == "failed":
        sys.exit(f"{experiment['name']} failed: {experiment['error']}")
    results = client.experiments.results(experiment["id"])
    console.print(results_table(results, console.width))
    return results


def _ensure_dataset(client: Noisegate, console: Console, archive: Path) -> None:
    if any(dataset["name"] == DATASET and dataset["state"] == "ready" for dataset in client.datasets.list()):
        return
    with ProgressDisplay(console, "upload") as progress:
        dataset = client.datasets.upload(archive, name=DATASET, progress=progress.show_bytes)
    with ProgressDisplay(console, "ingestion") as progress:
        dataset = client.datasets.wait(dataset["id"], progress=progress.show_dataset)
    if dataset["state"] != "ready":
        sys.exit(f"ingestion failed: {dataset['error']}")
