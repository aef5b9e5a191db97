"""The real copy of CIFAR-10, nothing planted: the training images of the lowest value, as a contact sheet.

    python benchmarks/suspicious.py --runs runs --cifar10 cifar10.tar.xz [--known cifar10_mturk.json --order labels.npy]

A layer on features of the embedded backbone, three executions that record samples; the table's `value`. The sheet goes to
docs/figures. With --known (github.com/cleanlab/label-errors: `mturk/cifar10_mturk.json`, and the labels in that order from
`original_test_labels`) the test set is looked at, too: its images by the label's probability, and how many of the label errors
that people confirmed are among the first. An image of that list is the same as one here by its class and its place within it; the
share of the errors whose guessed class is also ours says whether that holds.
"""

import argparse
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import RESULTS, keep
from value_parts.cifar10_features import cifar10_features, kept_features

from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.sample_value.in_features import look_around
from noisegate.evaluation.sample_value.label_issues import label_issues
from noisegate.evaluation.sample_value.over_executions import aggregate
from noisegate.evaluation.sample_value.records import record_of
from noisegate.evaluation.sample_value.value import value_of
from noisegate.learning.cells import CellData, prepare_cell
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.rejection.scores import softmax
from noisegate.spec import TrainingExperiment
from service.samples.sheet import TILE, Tile, draw_sheet

_SHOWN = 200
_EXECUTIONS = 3
_FIRST = (54, 200, 275, 500)
# Of five people that were asked: fewer than this kept the label.
_MAJORITY = 3
_FIGURE = RESULTS.parent.parent / "docs" / "figures" / "suspicious-cifar10.webp"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--runs", type=Path, required=True, help="a folder for features")
    parser.add_argument("--size", type=int, default=128, help="pixels a side of the view that features are of")
    parser.add_argument("--known", type=Path, help="cifar10_mturk.json")
    parser.add_argument("--order", type=Path, help="cifar10_test_set_original_labels.npy")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    kept = asked.runs / f"cifar10-{asked.size}.npz"
    data = cifar10_features(asked.cifar10, kept, asked.size)
    # In the order of `data`: training images are shuffled there.
    files = [path for path in kept_features(asked.cifar10, kept, asked.size).files if path.parts[0] == "train"]
    files = [files[place] for place in np.random.default_rng(0).permutation(len(files))]
    value, suggested, test = _ranked(data)
    worst = np.argsort(value, kind="stable")[:_SHOWN]
    pixels = _pixels(asked.cifar10, {str(files[place]) for place in worst})
    tiles = [
        Tile(
            pixels[str(files[place])],
            (_name(data, data.train_labels[place]), _said(data, suggested[place], value[place])),
        )
        for place in worst
    ]
    note = "Below each: its label, then the class that fits best and its value. Recompressed copies of 32 x 32 pixels."
    _keep(draw_sheet("png", "CIFAR-10: the 200 training images of the lowest value", note, tiles))
    by_label = Counter(_name(data, label) for label in data.train_labels[worst])
    figures: dict[str, Any] = {
        "size": asked.size,
        "executions": _EXECUTIONS,
        "by_label": dict(by_label.most_common()),
        "least_and_last_value": [round(float(value[worst[place]]), 4) for place in (0, -1)],
        "files": [str(files[place]) for place in worst],
        "test_accuracy": round(float((test.argmax(axis=1) == data.test_labels).mean()), 4),
    }
    if asked.known and asked.order:
        figures["known_test_errors"] = _compared(data, test, json.loads(asked.known.read_text()), np.load(asked.order))  # noqa: TID251
    print(json.dumps({name: figure for name, figure in figures.items() if name != "files"}, indent=2))
    print(f"Kept in {keep('suspicious', figures)}")


def _ranked(data: CellData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value and best class of each training image, and probabilities of the test images, by executions that saw none of those."""
    spec = TrainingExperiment.model_validate(
        {
            "dataset": "cifar10",
            "network": {"backbone": "tf_efficientnet_lite0"},
            "image_size": 32,
            "holdout": 0,
            "record": "samples",
            "training": {"recipe": "linear", "weight_decay": 0.1, "epochs": 12},
        }
    )
    cell = prepare_cell(spec, data, 0)
    rounds = run_executions(cell, range(_EXECUTIONS), between_batches=lambda: None, on_epoch=lambda _: None)
    outcomes = [one for found in rounds for one in found if isinstance(one, ExecutionOutcome)]
    records = [record for one in outcomes if (record := record_of(cell, one)) is not None]
    found = aggregate(records, len(data.train_labels), len(data.classes))
    around = look_around(data.train_inputs, data.train_labels)
    issues = label_issues(data.train_labels, found.held, found.shown)
    test = np.mean([softmax(one.test_answers.logits) for one in outcomes], axis=0)
    return value_of(found.mean, [around.by_neighbours, around.left_out]), issues.suggested, test


def _pixels(archive: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    found = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.name in wanted and (content := opened.extractfile(member)):
                image = Image.open(content).convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC)
                found[member.name] = np.asarray(image)
    return found


def _keep(sheet: bytes) -> None:
    Image.open(io.BytesIO(sheet)).save(_FIGURE, "WEBP", quality=62, method=6)
    print(f"{_FIGURE.name}: {_FIGURE.stat().st_size:,} bytes")


def _name(data: CellData, label: int) -> str:
    return data.classes[int(label)]


def _said(data: CellData, suggested: int, value: float) -> str:
    return f"{_name(data, suggested)}? {value:.4f}"


def _compared(data: CellData, test: np.ndarray, known: list[dict[str, Any]], order: np.ndarray) -> dict[str, Any]:
    """How many of the known errors are among the test images whose labels are least probable here."""
    # Both sets list the images of a class in one order.
    place = np.empty(len(order), np.int64)
    for label in range(len(data.classes)):
        place[np.flatnonzero(order == label)] = np.flatnonzero(data.test_labels == label)
    errors = np.array([place[one["id"]] for one in known if one["mturk"]["given"] < _MAJORITY])
    guessed = np.array([one["our_guessed_label"] for one in known])
    asked_of = np.array([place[one["id"]] for one in known])
    ours = test.argmax(axis=1)
    wrong = ours[asked_of] != data.test_labels[asked_of]
    rank = np.empty(len(test), np.int64)
    rank[np.argsort(test[np.arange(len(test)), data.test_labels], kind="stable")] = np.arange(len(test))
    return {
        "confirmed": len(errors),
        "confirmed_among_the_first": {str(first): int((rank[errors] < first).sum()) for first in _FIRST},
        "asked_of_people": len(known),
        "of_those_called_otherwise_here": int(wrong.sum()),
        "of_those_called_as_guessed_there": int((ours[asked_of] == guessed)[wrong].sum()),
    }


if __name__ == "__main__":
    main()
