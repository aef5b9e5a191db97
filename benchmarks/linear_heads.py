"""A layer on a backbone's features of few photographs: weight decay, and thresholds by holdout and by cross-validation.

    python benchmarks/linear_heads.py --archive flowers.tar --features flowers.npz [--splits 20]

Of 300 photographs of each of five classes, each split draws the training images at random and tests on all others: once 80 of
each class, once 122 of each of two classes. Splits share photographs, so their spread is that of training sets from one pool.
Structured noise, as many images as a class has, is trained on everywhere. scikit-learn's LogisticRegressionCV chooses from six
values of C by log loss in five folds, on features scaled alike. False rejection is that of the test images at 5 %.
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from photograph_features import Photographs, features_of
from record import keep
from sklearn.linear_model import LogisticRegressionCV

from noisegate.evaluation.executions import run_executions
from noisegate.learning.cells import CellData, CellFeatures, PreparedCell, prepare_cell
from noisegate.learning.encoding import Encoder
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.spec import TrainingExperiment

_A_CLASS = 300
_SIZE = 32
# Name: what the spec says besides.
ARMS: dict[str, dict[str, Any]] = {
    "holdout 0.1, decay 0.1": {"holdout": 0.1, "training": {"recipe": "linear", "weight_decay": 0.1}},
    "holdout 0.1, decay auto": {"holdout": 0.1},
    "cross-validated, decay 0.1": {
        "calibration": "cross_validated",
        "training": {"recipe": "linear", "weight_decay": 0.1},
    },
    "cross-validated, decay auto": {"calibration": "cross_validated"},
}
_PEER = "LogisticRegressionCV"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of <class>/<file>")
    parser.add_argument("--features", type=Path, required=True, help=".npz, written if it is not there")
    parser.add_argument("--splits", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    photographs = features_of(asked.archive, asked.features, _A_CLASS)
    pairs = [(0, 1), (2, 4), (1, 3), (2, 3)]
    tables = {
        "five classes, 80 training images each": _table(photographs, [tuple(range(5))], 80, asked.splits),
        "two classes, 122 training images each": _table(photographs, pairs, 122, asked.splits),
    }
    for name, table in tables.items():
        print(name, *(f"  {arm}: {_words(row)}" for arm, row in table.items()), sep="\n")
    print(f"Kept in {keep('linear_heads', {'splits': asked.splits, 'tables': tables})}")


def _table(photographs: Photographs, classes: Sequence[tuple[int, ...]], a_class: int, splits: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in (*ARMS, _PEER)}
    for split in range(splits):
        data = _split(photographs, classes[split % len(classes)], a_class, split)
        for arm, changes in ARMS.items():
            found[arm].append(_measure(data, changes, split))
        started = time.process_time()
        accuracy = _peer(data, photographs.noise[:a_class])
        found[_PEER].append({"accuracy": accuracy, "core_seconds": time.process_time() - started})
    return {arm: _summary(rows) for arm, rows in found.items()}


def _split(photographs: Photographs, classes: tuple[int, ...], a_class: int, seed: int) -> CellData:
    generator = np.random.default_rng(seed)
    drawn = [generator.permutation(np.flatnonzero(photographs.labels == one)) for one in classes]
    train, test = (
        np.concatenate(parts) for parts in zip(*((one[:a_class], one[a_class:]) for one in drawn), strict=True)
    )
    labels = np.searchsorted(classes, photographs.labels)
    # Noise was put through the backbone before, and every arm gets the same; pixels only stand for themselves.
    noise = itertools.cycle(photographs.noise[:a_class])
    encoder = cast(Encoder, lambda images, _: np.stack([next(noise) for _ in images]))
    features = CellFeatures(photographs.features[train], photographs.features[test], encoder)
    pixels = np.zeros((len(train), _SIZE, _SIZE, 3), dtype=np.uint8)
    return CellData(
        tuple(map(str, classes)), pixels, labels[train], pixels[:0], labels[test], dataset_hash="", features=features
    )


def _measure(data: CellData, changes: dict[str, Any], split: int) -> dict[str, float]:
    started = time.process_time()
    document = {"dataset": "any", "network": {"backbone": "tf_efficientnet_lite0"}, "image_size": _SIZE, "seed": split}
    spec = TrainingExperiment.model_validate(document | {"noise": {"family": "structured", "quantity": 1}} | changes)
    cell = prepare_cell(spec, data, 0)
    outcome = _run(cell, split)
    assert outcome.calibration is not None
    assert outcome.metrics.false_reject is not None
    return {
        "accuracy": outcome.metrics.accuracy,
        "false_reject": outcome.metrics.false_reject,
        "expected_accuracy": outcome.holdout_accuracy or 0.0,
        "temperature": outcome.calibration.temperature or 0.0,
        "weight_decay": cell.regularisation.weight_decay if cell.regularisation else 0.1,
        "core_seconds": time.process_time() - started,
    }


def _run(cell: PreparedCell, seed: int) -> ExecutionOutcome:
    ((outcome,),) = run_executions(cell, [seed], between_batches=lambda: None, on_epoch=lambda _: None)
    assert isinstance(outcome, ExecutionOutcome)
    return outcome


def _peer(data: CellData, noise: np.ndarray) -> float:
    """Its accuracy; features are turned first, which changes no answer and makes them as few as the images."""
    assert data.features is not None
    train = np.concatenate([data.features.train, noise])
    mean, std = train.mean(axis=0), train.std(axis=0)
    std = np.maximum(std, 0.1 * std.mean())
    scaled, tested = ((one - mean) / std for one in (train, data.features.test))
    _, _, turned = np.linalg.svd(scaled, full_matrices=False)
    labels = np.concatenate([data.train_labels, np.full(len(noise), len(data.classes))])
    peer = LogisticRegressionCV(
        Cs=np.logspace(-3.5, -0.5, 6),
        cv=5,
        scoring="neg_log_loss",
        max_iter=300,
        tol=1e-3,
        l1_ratios=(0,),
        use_legacy_attributes=False,
    )
    peer.fit(scaled @ turned.T, labels)
    return float((peer.predict(tested @ turned.T) == data.test_labels).mean())


def _summary(rows: list[dict[str, float]]) -> dict[str, Any]:
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {
        name: {"mean": float(values.mean()), "std": float(values.std(ddof=1)), "values": values.round(5).tolist()}
        for name, values in columns.items()
    }


def _words(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {of['mean']:.4f} ± {of['std']:.4f}" for name, of in row.items())


if __name__ == "__main__":
    main()
