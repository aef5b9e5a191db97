"""How well the networks learn CIFAR-10, and in how long: one process a run, on one core.

    python benchmarks/networks.py --archive CIFAR10.tar.xz --runs FOLDER [--seeds 2] [--only compact-16]
    python benchmarks/networks.py --archive CIFAR10.tar.xz --steps

A run trains on 45,000 images, a tenth being held out, and answers the 10,000 test images in one pass each, without changing
them. Runs that have ended are not repeated, and one that was stopped goes on from its last epoch: what is in the folder counts.
Time is that of the processor (user and system), so that other work on the machine counts little; both cores of a machine with
two would take half of it.

--steps compares images a second with those of a plain loop over the same network: DataLoader, float32, all threads.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from network_parts.steps import compare_steps
from record import keep, machine
from scipy import stats
from train_parts.accuracy import read_archive

from noisegate.evaluation.executions import run_executions
from noisegate.learning.allocator import keep_freed_memory
from noisegate.learning.cells import CellData, prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.training import Progress
from noisegate.spec import TrainingExperiment
from noisegate.spec.recipes import RECIPES

_CLASSES = tuple(f"class {number}" for number in range(10))
# Name: network, training. The first is the paper's recipe at scale `quick`.
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "paper-12": ("paper", {"epochs": 12}),
    "compact-12": ("compact", {"recipe": "one_cycle", "epochs": 12}),
    "compact-30": ("compact", {"recipe": "one_cycle", "epochs": 30, "cutout": 8, "label_smoothing": 0.1}),
    "compact-42": (
        "compact",
        {"recipe": "one_cycle", "epochs": 42, "cutout": 8, "label_smoothing": 0.1, "shift_rate": 64},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--runs", type=Path, default=Path("noisegate-runs"), help="where runs are kept")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", action="store_true")
    asked = parser.parse_args()
    if asked.steps:
        print(f"Kept in {keep('networks_steps', compare_steps(*read_archive(asked.archive)[0]))}")
        return
    asked.runs.mkdir(parents=True, exist_ok=True)
    jobs = [(asked.archive, asked.runs, arm, seed) for arm in asked.only for seed in range(asked.seeds)]
    with ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(_run, *zip(*jobs, strict=True)))
    table = [row for arm in ARMS if (row := _row(arm, asked.runs))]
    for row in table:
        print(_words(row))
    print(f"Kept in {keep('networks', {'table': table})}")


def _run(archive: Path, runs: Path, arm: str, seed: int) -> None:
    """Train one seed of an arm, or what is left of it, and write down what was found."""
    result, saved, spent = (runs / f"{arm}-{seed}{suffix}" for suffix in (".json", ".checkpoint", ".spent"))
    if result.exists():
        return
    torch.set_num_threads(1)
    keep_freed_memory()
    (images, labels), (test_images, test_labels) = read_archive(archive)
    data = CellData(_CLASSES, images, labels, test_images, test_labels, dataset_hash="cifar10")
    network, training = ARMS[arm]
    spec = TrainingExperiment.model_validate({"dataset": "cifar10", "network": network, "training": training})
    cell = prepare_cell(spec, data, 0)
    earlier = float(spent.read_text()) if spent.exists() and saved.exists() else 0.0
    started = time.process_time()

    def note(progress: Progress) -> None:
        seconds = earlier + time.process_time() - started
        print(
            f"{arm} seed {seed} epoch {progress.epoch}: loss {progress.loss:.4f}, {seconds / 60:.1f} core-minutes",
            flush=True,
        )

    def save(_progress: Progress, snapshot: Any) -> None:
        saved.write_bytes(snapshot())
        spent.write_text(str(earlier + time.process_time() - started))

    resume = {seed: saved.read_bytes()} if saved.exists() else {}
    rounds = run_executions(
        cell, [seed], between_batches=lambda: None, on_epoch=note, resume=resume, on_checkpoint=save
    )
    ((found,),) = list(rounds)
    seconds = earlier + time.process_time() - started
    assert isinstance(found, ExecutionOutcome)
    document = _figures(found, spec, seconds) | {"arm": arm, "seed": seed, "machine": machine()}
    result.write_text(json.dumps(document, indent=2) + "\n")
    saved.unlink(missing_ok=True)
    spent.unlink(missing_ok=True)


def _figures(found: ExecutionOutcome, spec: TrainingExperiment, seconds: float) -> dict[str, Any]:
    parameters = sum(one.numel() for one in found.trained.module.parameters())
    images = spec.training.epochs * 45_000
    return {
        "network": spec.network,
        "training": spec.training.model_dump(mode="json"),
        "recipe": next(name for name, recipe in RECIPES.items() if type(spec.training) is recipe),
        "parameters": parameters,
        "test_accuracy_pct": 100 * found.metrics.accuracy,
        "holdout_accuracy_pct": 100 * (found.holdout_accuracy or 0),
        "false_reject_at_5_pct": 100 * (found.metrics.false_reject or 0),
        "core_minutes": seconds / 60,
        "images_per_core_second": images / seconds,
        "precision": found.trained.precision,
        "losses": list(found.trained.losses),
    }


def _row(arm: str, runs: Path) -> dict[str, Any] | None:
    found = [json.loads(file.read_text()) for file in sorted(runs.glob(f"{arm}-*.json"))]
    if not found:
        return None
    accuracies = [one["test_accuracy_pct"] for one in found]
    return {
        "arm": arm,
        "network": found[0]["network"],
        "recipe": found[0]["recipe"],
        "epochs": found[0]["training"]["epochs"],
        "parameters": found[0]["parameters"],
        "n": len(found),
        "test_accuracy_pct": float(np.mean(accuracies)),
        "standard_error_pct": float(stats.sem(accuracies)) if len(found) > 1 else None,
        "core_minutes": float(np.mean([one["core_minutes"] for one in found])),
        "images_per_core_second": float(np.mean([one["images_per_core_second"] for one in found])),
        "runs": found,
    }


def _words(row: dict[str, Any]) -> str:
    error = "" if row["standard_error_pct"] is None else f" ± {row['standard_error_pct']:.2f}"
    return (
        f"{row['arm']:>12} ({row['network']}, {row['recipe']}, {row['epochs']} epochs, {row['parameters']:,} parameters): "
        f"{row['test_accuracy_pct']:.2f}{error} %, n = {row['n']}, {row['core_minutes']:.0f} core-minutes a run, "
        f"{row['images_per_core_second']:.0f} images a core-second"
    )


if __name__ == "__main__":
    main()
