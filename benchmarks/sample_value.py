"""Sample value on planted label noise: how much of it is found, in what time, and what leaving it out does.

    python benchmarks/sample_value.py --runs runs [--flowers flowers.tar] [--cifar10 cifar10.tar.xz] [--epochs 12 --train 50000]

5 % of the training labels are flipped, once to any other class alike and once to the nearest one. `found` is the share of them
among the 5 % of the images with the lowest value. Beside it stands cleanlab as it asks to be used: probabilities by five-fold
cross-validation with the same network and recipe (five trainings on four fifths), ranked by its label quality. Seconds are the
process's, training included; both train on one thread. Gain: test accuracy (its labels are clean) without the worst 5 %, less
that without as many at random, and of each class, over executions with seeds of their own; low and high are the 95 % interval
by Welch's test. Overhead: the same training with and without recording in turn, the least of each.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.rank import get_label_quality_scores
from record import keep
from value_parts.planted import SHARE, Kind, Planted, cifar10, digits, flowers, plant

from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.sample_value.label_issues import label_issues
from noisegate.evaluation.sample_value.neighbours import find_neighbours
from noisegate.evaluation.sample_value.over_executions import aggregate
from noisegate.evaluation.sample_value.records import record_of
from noisegate.evaluation.sample_value.value import value_of
from noisegate.learning.cells import CellData, PreparedCell, prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.rejection.scores import softmax
from noisegate.spec import TrainingExperiment
from service.results.statistics import compare, summarise

_FOLDS = 5
_KINDS: tuple[Kind, ...] = ("uniform", "nearest")
# Small steps; without the drop, accuracies of executions would differ by more than any cleaning could change.
_SMALL = {
    "batch_size": 16,
    "learning_rate": 0.002,
    "learning_rate_drop": {"factor": 0.1, "every_epochs": 9},
    "first_layer_std": 0.1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="a folder for features of photographs")
    parser.add_argument(
        "--flowers", type=Path, help="tar of <class>/<file>; some 40 s of a core for features the first time"
    )
    parser.add_argument("--cifar10", type=Path, help="cifar10.tar.xz; hours of a core, or minutes of a GPU")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=12, help="of CIFAR-10")
    parser.add_argument("--train", type=int, help="number of CIFAR-10's training images; all by default")
    parser.add_argument("--executions", type=int, default=5, help="of each arm of the gain")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    figures = {name: _figures(asked, name, data, spec) for name, data, spec in _datasets(asked)}
    print(f"Kept in {keep('sample_value', {'share': SHARE, 'executions': asked.executions, 'datasets': figures})}")


def _datasets(asked: argparse.Namespace) -> Iterator[tuple[str, CellData, dict[str, Any]]]:
    yield "digits", digits(), {"image_size": 8, "training": {"epochs": 12} | _SMALL}
    if asked.flowers:
        asked.runs.mkdir(parents=True, exist_ok=True)
        spec = {"network": {"backbone": "tf_efficientnet_lite0"}, "image_size": 32, "training": {"recipe": "linear"}}
        yield "flowers", flowers(asked.flowers, asked.runs / "features.npz"), spec
    if asked.cifar10:
        yield "cifar10", cifar10(asked.cifar10, asked.train), {"image_size": 32, "training": {"epochs": asked.epochs}}


def _figures(asked: argparse.Namespace, name: str, data: CellData, document: Mapping[str, Any]) -> dict[str, Any]:
    spec = TrainingExperiment.model_validate({"dataset": name, "holdout": 0, **document})
    found = {kind: _on_planted(asked, spec, plant(data, kind)) for kind in _KINDS}
    for kind, row in found.items():
        print(f"{name}, {kind}: {row}")
    return {"images": len(data.train_labels), "kinds": found, "overhead": _overhead(spec, data, asked.device)}


def _on_planted(asked: argparse.Namespace, spec: TrainingExperiment, planted: Planted) -> dict[str, Any]:
    ours, ours_seconds = _timed(lambda: _value(spec, planted.data, asked.device))
    theirs, their_seconds = _timed(lambda: _cleanlab(spec, planted.data, asked.device))
    return {
        "found": _found(ours, planted.flipped),
        "found_by_cleanlab": _found(theirs, planted.flipped),
        "seconds": round(ours_seconds, 1),
        "seconds_of_cleanlab": round(their_seconds, 1),
        "gain": _gain(asked, spec, planted.data, np.argsort(ours, kind="stable")[: len(planted.flipped)]),
    }


def _timed(compute: Any) -> tuple[np.ndarray, float]:
    started = time.process_time()
    found: np.ndarray = compute()
    return found, time.process_time() - started


def _found(scores: np.ndarray, flipped: np.ndarray) -> float:
    """The share of the flipped labels among as many images with the lowest scores."""
    worst = np.argsort(scores, kind="stable")[: len(flipped)]
    return round(float(np.isin(flipped, worst).mean()), 4)


def _value(spec: TrainingExperiment, data: CellData, device: str) -> np.ndarray:
    """The value of each training image, by one execution."""
    recording = spec.model_copy(update={"record": "samples"})
    cell = prepare_cell(recording, data, 0)
    (outcome,) = _executions(cell, [0], device)
    record = record_of(cell, outcome)
    assert record is not None
    found = aggregate([record], len(data.train_labels), len(data.classes))
    quality = label_issues(data.train_labels, found.held, found.shown).quality
    _, features = answer(outcome.trained, data.train_inputs, device)
    return value_of([found.mean, found.aum, quality], find_neighbours(features, data.train_labels).agreement)


def _cleanlab(spec: TrainingExperiment, data: CellData, device: str) -> np.ndarray:
    """cleanlab's label quality of each training image, by five-fold cross-validation."""
    fold = np.random.default_rng(0).permutation(len(data.train_labels)) % _FOLDS
    shares = np.empty((len(data.train_labels), len(data.classes)))
    for number in range(_FOLDS):
        places = np.flatnonzero(fold != number)
        cell = prepare_cell(spec, data, 0, excluded=np.flatnonzero(fold == number).tolist())
        assert len(cell.labels) == len(places)
        (outcome,) = _executions(cell, [number], device)
        logits, _ = answer(outcome.trained, data.train_inputs[fold == number], device)
        shares[fold == number] = softmax(logits)
    quality: np.ndarray = get_label_quality_scores(np.array(data.train_labels), shares)
    return quality


def _executions(cell: PreparedCell, seeds: Sequence[int], device: str) -> list[ExecutionOutcome]:
    rounds = run_executions(cell, seeds, between_batches=lambda: None, on_epoch=lambda _: None, device=device)
    found = [result for results in rounds for result in results]
    return [result for result in found if isinstance(result, ExecutionOutcome)]


def _gain(
    asked: argparse.Namespace, spec: TrainingExperiment, data: CellData, worst: np.ndarray
) -> dict[str, dict[str, float | None]]:
    generator = np.random.default_rng(7)
    count, labels = len(worst), np.array(data.train_labels)
    of_class = np.bincount(labels[worst], minlength=len(data.classes))
    left_out = {
        "worst": worst,
        "random": generator.permutation(len(labels))[:count],
        "stratified": np.concatenate(
            [generator.permutation(np.flatnonzero(labels == label))[:many] for label, many in enumerate(of_class)]
        ),
        "nothing": worst[:0],
    }
    accuracies = {name: _accuracies(asked, spec, data, places) for name, places in left_out.items()}
    found = {}
    for control in ("random", "stratified", "nothing"):
        difference = compare(summarise(accuracies["worst"]), summarise(accuracies[control]), control)
        assert difference is not None
        told = dataclasses.asdict(difference)
        found[control] = {
            key: None if told[key] is None else round(told[key], 4) for key in ("accuracy", "low", "high")
        }
    return found


def _accuracies(asked: argparse.Namespace, spec: TrainingExperiment, data: CellData, out: np.ndarray) -> list[float]:
    cell = prepare_cell(spec, data, 0, excluded=out.tolist())
    return [one.metrics.accuracy for one in _executions(cell, range(100, 100 + asked.executions), asked.device)]


def _overhead(spec: TrainingExperiment, data: CellData, device: str, turns: int = 5) -> dict[str, float]:
    """Training seconds with recording over those without, less 1; and bytes of a record for 50,000 images and 40 epochs."""
    cells = {name: prepare_cell(spec.model_copy(update={"record": name}), data, 0) for name in ("none", "samples")}
    seconds: dict[str, list[float]] = {name: [] for name in cells}
    size = 0.0
    for _ in range(turns):
        for name, cell in cells.items():
            started = time.process_time()
            (outcome,) = _executions(cell, [0], device)
            seconds[name].append(time.process_time() - started)
            if (record := record_of(cell, outcome)) is not None:
                of_epochs = 4 * record.probability.size
                rest = len(record.to_bytes()) - of_epochs
                size = 50_000 * (4 * 40 + rest / len(data.train_labels))
    return {
        "share": round(min(seconds["samples"]) / min(seconds["none"]) - 1, 4),
        "bytes_of_50000_images_and_40_epochs": round(size),
    }


if __name__ == "__main__":
    main()
