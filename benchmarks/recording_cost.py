"""What `record: samples` costs: the same training with and without it, in turn.

    python benchmarks/recording_cost.py --runs runs --cifar10 cifar10.tar.xz [--pairs 5]

Time is the process's (user and system), on one thread, so that other work on the machine counts little. Each pair is one training
with and one without, the order alternating; the share is the median over pairs of the one over the other, less 1.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import keep
from value_parts.cifar10_features import cifar10_features
from value_parts.planted import cifar10

from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.sample_value.records import record_of
from noisegate.learning.cells import CellData, PreparedCell, prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.spec import TrainingExperiment

_BACKBONE = {"network": {"backbone": "tf_efficientnet_lite0"}, "image_size": 32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--runs", type=Path, required=True, help="a folder for features")
    parser.add_argument("--size", type=int, default=128, help="pixels a side of the view that features are of")
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: _cost(name, data, document, asked.pairs) for name, data, document in _trainings(asked)}
    print(f"Kept in {keep('recording_cost', {'pairs': asked.pairs, 'trainings': found})}")


def _trainings(asked: argparse.Namespace) -> Iterator[tuple[str, CellData, dict[str, Any]]]:
    features = cifar10_features(asked.cifar10, asked.runs / f"cifar10-{asked.size}.npz", asked.size, 10_000)
    # A decay of its own: choosing one takes longer than training and is not recorded.
    yield "a layer on features", features, _BACKBONE | {"training": {"recipe": "linear", "weight_decay": 0.1}}
    pixels = cifar10(asked.cifar10, 10_000)
    yield "paper", pixels, {"image_size": 32, "training": {"epochs": 2}}
    yield "compact", pixels, {"network": "compact", "image_size": 32, "training": {"recipe": "one_cycle", "epochs": 1}}


def _cost(name: str, data: CellData, document: dict[str, Any], pairs: int) -> dict[str, Any]:
    cells = {
        record: prepare_cell(
            TrainingExperiment.model_validate({"dataset": name, "holdout": 0, "record": record, **document}), data, 0
        )
        for record in ("none", "samples")
    }
    _seconds(cells["samples"])  # the first is slower
    seconds: dict[str, list[float]] = {record: [] for record in cells}
    for pair in range(pairs):
        for record in sorted(cells, reverse=bool(pair % 2)):
            taken, outcome = _seconds(cells[record])
            seconds[record].append(taken)
            if record == "samples":
                size = _bytes(cells[record], outcome)
    shares = [with_it / without - 1 for with_it, without in zip(seconds["samples"], seconds["none"], strict=True)]
    row = {
        "images": len(data.train_labels),
        "training": document["training"],
        "share": round(float(np.median(shares)), 4),
        "shares": [round(share, 4) for share in shares],
        "share_of_least": round(min(seconds["samples"]) / min(seconds["none"]) - 1, 4),
        "seconds_without": round(float(np.median(seconds["none"])), 2),
        "bytes_of_50000_images_and_40_recorded_epochs": size,
    }
    print(f"{name}: {row}", flush=True)
    return row


def _seconds(cell: PreparedCell) -> tuple[float, ExecutionOutcome]:
    started = time.process_time()
    ((outcome,),) = run_executions(cell, [0], between_batches=lambda: None, on_epoch=lambda _: None)
    taken = time.process_time() - started
    assert isinstance(outcome, ExecutionOutcome)
    return taken, outcome


def _bytes(cell: PreparedCell, outcome: ExecutionOutcome) -> int:
    """By the record's own bytes: two float16 an image and recorded epoch, and the rest an image."""
    record = record_of(cell, outcome)
    assert record is not None
    rest = len(record.to_bytes()) - record.probability.nbytes - record.margin.nbytes
    return round(50_000 * (4 * 40 + rest / len(record.rows)))


if __name__ == "__main__":
    main()
