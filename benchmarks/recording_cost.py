"""What `record: samples` costs in training, and in bytes.

    python benchmarks/recording_cost.py --runs runs --cifar10 cifar10.tar.xz [--runs-each 5]

Two measures, by processor time (user and system) on one thread. `share` is taken within each training that records: the seconds
inside of the recorder over all others, so that it holds on a machine that is busy with other work. `pairs` are trainings with and
without, in turn, the one over the other less 1: what all of it comes to, but as uncertain as the machine is busy.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from record import keep
from value_parts.cifar10_features import cifar10_features
from value_parts.planted import cifar10

from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.sample_value.records import record_of
from noisegate.learning.cells import CellData, PreparedCell, prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.recording import Recorder
from noisegate.spec import TrainingExperiment

_BACKBONE = {"network": {"backbone": "tf_efficientnet_lite0"}, "image_size": 32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--runs", type=Path, required=True, help="a folder for features")
    parser.add_argument("--size", type=int, default=128, help="pixels a side of the view that features are of")
    parser.add_argument("--runs-each", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: _cost(name, data, document, asked.runs_each) for name, data, document in _trainings(asked)}
    print(f"Kept in {keep('recording_cost', {'trainings': found})}")


def _trainings(asked: argparse.Namespace) -> Iterator[tuple[str, CellData, dict[str, Any]]]:
    features = cifar10_features(asked.cifar10, asked.runs / f"cifar10-{asked.size}.npz", asked.size, 5000)
    # A decay of its own: choosing one takes longer than training and is not recorded.
    yield "a layer on features", features, _BACKBONE | {"training": {"recipe": "linear", "weight_decay": 0.1}}
    pixels = cifar10(asked.cifar10, 3000)
    pixels = dataclasses.replace(pixels, test_images=pixels.test_images[:256], test_labels=pixels.test_labels[:256])
    yield "compact", pixels, {"network": "compact", "image_size": 32, "training": {"recipe": "one_cycle", "epochs": 1}}


def _cost(name: str, data: CellData, document: dict[str, Any], runs: int) -> dict[str, Any]:
    cells = {
        record: prepare_cell(
            TrainingExperiment.model_validate({"dataset": name, "holdout": 0, "record": record, **document}), data, 0
        )
        for record in ("none", "samples")
    }
    _train(cells["samples"])  # the first is slower
    shares: list[float] = []
    seconds: dict[str, list[float]] = {record: [] for record in cells}
    size = 0
    for run in range(runs):
        for record in sorted(cells, reverse=bool(run % 2)):
            taken, recording, outcome = _train(cells[record])
            seconds[record].append(taken)
            if record == "samples":
                shares.append(recording / (taken - recording))
                size = _bytes(cells[record], outcome)
    pairs = [with_it / without - 1 for with_it, without in zip(seconds["samples"], seconds["none"], strict=True)]
    row = {
        "images": len(data.train_labels),
        "training": document["training"],
        "share": round(float(np.median(shares)), 4),
        "shares": [round(share, 4) for share in shares],
        "pairs": [round(pair, 4) for pair in pairs],
        "seconds_without": round(float(np.median(seconds["none"])), 2),
        "bytes_of_50000_images_and_40_recorded_epochs": size,
    }
    print(f"{name}: {row}", flush=True)
    return row


def _train(cell: PreparedCell) -> tuple[float, float, ExecutionOutcome]:
    """Seconds of one training, those of them inside of the recorder, and what came of it."""
    inside = [0.0]
    with pytest.MonkeyPatch.context() as patched:
        for name in ("__init__", "note", "finish"):
            patched.setattr(Recorder, name, _timed(getattr(Recorder, name), inside))
        started = time.process_time()
        ((outcome,),) = run_executions(cell, [0], between_batches=lambda: None, on_epoch=lambda _: None)
        taken = time.process_time() - started
    assert isinstance(outcome, ExecutionOutcome)
    return taken, inside[0], outcome


def _timed(call: Callable[..., Any], inside: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.process_time()
        result = call(*arguments, **named)
        inside[0] += time.process_time() - started
        return result

    return timed


def _bytes(cell: PreparedCell, outcome: ExecutionOutcome) -> int:
    """By the record's own bytes: two float16 an image and recorded epoch, and the rest an image."""
    record = record_of(cell, outcome)
    assert record is not None
    rest = len(record.to_bytes()) - record.probability.nbytes - record.margin.nbytes
    return round(50_000 * (4 * 40 + rest / len(record.rows)))


if __name__ == "__main__":
    main()
