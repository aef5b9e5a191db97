"""Sample value on planted label noise: how much of it is found, in what time, and what leaving it out does.

    python benchmarks/sample_value.py --runs runs [--flowers flowers.tar] [--cifar10 cifar10.tar.xz]

5 % of the training labels are flipped, once to any other class alike and once to the nearest one. `found` is the share of them
among the 5 % of the images with the lowest value. Beside it stands cleanlab as it asks to be used: probabilities by five-fold
cross-validation with the same network and recipe (five trainings on four fifths), ranked by its label quality. Seconds are the
process's, training included; both train on one thread. Gain: test accuracy (its labels are clean) without the worst 5 %, less
that without as many at random, and of each class, over executions with seeds of their own; low and high are the 95 % interval
by Welch's test. What recording costs is measured by benchmarks/recording_cost.py.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.rank import get_label_quality_scores
from record import RESULTS, keep
from value_parts.cifar10_features import cifar10_features
from value_parts.planted import SHARE, Kind, Planted, cifar10, digits, flowers, plant

from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.sample_value.in_features import look_around
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
_DATASETS = ("digits", "flowers", "cifar10")
_KINDS: tuple[Kind, ...] = ("uniform", "nearest")
# Small steps; without the drop, accuracies of executions would differ by more than any cleaning could change.
_SMALL = {
    "batch_size": 16,
    "learning_rate": 0.002,
    "learning_rate_drop": {"factor": 0.1, "every_epochs": 9},
    "first_layer_std": 0.1,
}
# The decay that `auto` chooses on 10,000 of the images; to choose it anew in each fold would take hours.
_LARGE = {"recipe": "linear", "weight_decay": 0.1, "epochs": 12}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, help="a folder for features of photographs")
    parser.add_argument(
        "--flowers", type=Path, help="tar of <class>/<file>; some 40 s of a core for features the first time"
    )
    parser.add_argument("--cifar10", type=Path, help="cifar10.tar.xz; features of it take 4 minutes of a core")
    parser.add_argument("--size", type=int, default=128, help="pixels a side of the view that features are of")
    parser.add_argument(
        "--network", help="train this network on CIFAR-10's pixels instead: minutes of a GPU, hours of a core"
    )
    parser.add_argument("--epochs", type=int, default=12, help="of that")
    parser.add_argument("--train", type=int, help="number of CIFAR-10's training images; all by default")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--draws", type=int, default=3, help="of the flipped labels; the gain is of the first")
    parser.add_argument("--executions", type=int, default=5, help="of each arm of the gain")
    parser.add_argument(
        "--only", nargs="*", choices=_DATASETS, default=_DATASETS, help="others stay as measured before"
    )
    parser.add_argument("--kinds", nargs="*", choices=_KINDS, default=_KINDS)
    parser.add_argument("--no-gain", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name, data, spec in _datasets(asked):
        print(f"Kept in {_keep(asked, name, _figures(asked, name, data, spec))}")


def _keep(asked: argparse.Namespace, name: str, found: dict[str, Any]) -> Path:
    """Beside what was measured before of other datasets and kinds."""
    file = RESULTS / "sample_value.json"
    before: dict[str, Any] = json.loads(file.read_text())["datasets"] if file.exists() else {}
    kinds = before.get(name, {}).get("kinds", {}) | found["kinds"]
    datasets = before | {name: found | {"kinds": kinds}}
    return keep("sample_value", {"share": SHARE, "executions": asked.executions, "datasets": datasets})


def _datasets(asked: argparse.Namespace) -> Iterator[tuple[str, CellData, dict[str, Any]]]:
    asked.runs.mkdir(parents=True, exist_ok=True)
    linear = {"network": {"backbone": "tf_efficientnet_lite0"}, "image_size": 32}
    if "digits" in asked.only:
        yield "digits", digits(), {"image_size": 8, "training": {"epochs": 12} | _SMALL}
    if asked.flowers and "flowers" in asked.only:
        yield (
            "flowers",
            flowers(asked.flowers, asked.runs / "features.npz"),
            linear | {"training": {"recipe": "linear"}},
        )
    if asked.cifar10 and "cifar10" in asked.only:
        if asked.network:
            training = {"recipe": "one_cycle", "epochs": asked.epochs}
            data = cifar10(asked.cifar10, asked.train)
            yield "cifar10", data, {"network": asked.network, "image_size": 32, "training": training}
        else:
            data = cifar10_features(asked.cifar10, asked.runs / f"cifar10-{asked.size}.npz", asked.size, asked.train)
            yield "cifar10", data, linear | {"training": _LARGE}


def _figures(asked: argparse.Namespace, name: str, data: CellData, document: Mapping[str, Any]) -> dict[str, Any]:
    spec = TrainingExperiment.model_validate({"dataset": name, "holdout": 0, **document})
    found = {}
    for kind in asked.kinds:
        found[kind] = _on_planted(asked, spec, [plant(data, kind, draw) for draw in range(asked.draws)])
        print(f"{name}, {kind}: {found[kind]}", flush=True)
    return {"images": len(data.train_labels), "training": document["training"], "kinds": found}


def _on_planted(asked: argparse.Namespace, spec: TrainingExperiment, planted: Sequence[Planted]) -> dict[str, Any]:
    ours, theirs = ([_timed(rank, spec, one.data, asked.device) for one in planted] for rank in (_value, _cleanlab))
    first = planted[0]
    worst = np.argsort(ours[0][0], kind="stable")[: len(first.flipped)]
    return {
        **_over_draws("found", [_found(scores, one.flipped) for (scores, _), one in zip(ours, planted, strict=True)]),
        **_over_draws(
            "found_by_cleanlab", [_found(scores, one.flipped) for (scores, _), one in zip(theirs, planted, strict=True)]
        ),
        **_over_draws("seconds", [seconds for _, seconds in ours]),
        **_over_draws("seconds_of_cleanlab", [seconds for _, seconds in theirs]),
        **({} if asked.no_gain else {"gain": _gain(asked, spec, first.data, worst)}),
    }


def _over_draws(name: str, values: Sequence[float]) -> dict[str, Any]:
    """The mean, with its standard error where there are several, and each."""
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return {
        name: round(float(np.mean(values)), 4),
        f"{name}_error": error and round(error, 4),
        f"{name}_each": [round(value, 4) for value in values],
    }


def _timed(
    rank: Callable[[TrainingExperiment, CellData, str], np.ndarray],
    spec: TrainingExperiment,
    data: CellData,
    device: str,
) -> tuple[np.ndarray, float]:
    started = time.process_time()
    found = rank(spec, data, device)
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
    _, features = answer(outcome.trained, data.train_inputs, device)
    around = look_around(features, data.train_labels)
    return value_of(found.mean, [around.by_neighbours, around.left_out])


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


if __name__ == "__main__":
    main()
