"""Each score's AUROC where some classes are left out of training and then have to be told from the others.

    python benchmarks/open_set_scores.py --archive flowers.tar --features flowers.npz [--splits 10]

Photographs of flowers: a layer on a backbone's features of three classes, 200 training images each, the other two unknown,
in all ten choices; 100 test images a class. Handwritten digits: the network `compact`, trained on six classes, the other four
unknown, in random choices. No noise class; each score is fitted as models fit it, on at most 1,000 training images or 4 MB of
features.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Int64
from photograph_features import Photographs, features_of
from record import keep
from sklearn.datasets import load_digits

from noisegate.evaluation.executions import run_executions
from noisegate.evaluation.families import UNKNOWN_FAMILIES, KnownImages
from noisegate.evaluation.open_set_metrics import auroc
from noisegate.learning.cells import CellData, CellFeatures, prepare_cell
from noisegate.learning.encoding import Encoder
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.learning.prediction import answer
from noisegate.rejection import SCORES
from noisegate.rejection.scores import KnownLogits, TrainingAnswers
from noisegate.spec import TrainingExperiment

_A_CLASS, _TRAINED_ON = 300, 200
_SIZE = 32
_MOST_IMAGES, _MOST_BYTES = 1000, 4 * 2**20
_LAYER: dict[str, Any] = {"network": {"backbone": "tf_efficientnet_lite0"}}
_COMPACT: dict[str, Any] = {"network": "compact", "training": {"recipe": "one_cycle", "epochs": 15, "batch_size": 64}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of <class>/<file>")
    parser.add_argument("--features", type=Path, required=True, help=".npz, written if it is not there")
    parser.add_argument("--splits", type=int, default=10)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    photographs = features_of(asked.archive, asked.features, _A_CLASS)
    choices = list(itertools.combinations(range(5), 3))[: asked.splits]
    tables = {
        "flowers, 3 known and 2 unknown": [_flowers(photographs, known, seed) for seed, known in enumerate(choices)],
        "digits, 6 known and 4 unknown": [_digits(seed) for seed in range(asked.splits)],
    }
    for name, rows in tables.items():
        print(name)
        for score in rows[0]:
            values = 100 * np.array([row[score] for row in rows])
            print(f"  {score:16} {values.mean():6.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}")
    print(f"Kept in {keep('open_set_scores', {'splits': asked.splits, 'aurocs': tables})}")


def _flowers(photographs: Photographs, known: tuple[int, ...], seed: int) -> dict[str, float]:
    generator = np.random.default_rng(seed)
    places = np.stack([generator.permutation(np.flatnonzero(photographs.labels == one)) for one in range(5)])
    train, test = places[list(known), :_TRAINED_ON].ravel(), places[:, _TRAINED_ON:].ravel()
    # Nothing is drawn that an encoder would have to see; pixels only stand for themselves.
    encoder = cast(Encoder, None)
    features = CellFeatures(photographs.features[train], photographs.features[test], encoder)
    pixels = np.zeros((len(train), _SIZE, _SIZE, 3), dtype=np.uint8)
    labels = photographs.labels
    data = _data(known, pixels, labels[train], pixels[:0], labels[test], features)
    return _areas(data, _LAYER, np.isin(labels[test], known), seed)


def _digits(seed: int) -> dict[str, float]:
    labels = load_digits().target.astype(np.int64)
    generator = np.random.default_rng(seed)
    known = tuple(sorted(generator.permutation(10)[:6].tolist()))
    order = generator.permutation(len(labels))
    train, test = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
    train = train[np.isin(labels[train], known)]
    nothing = KnownImages(np.zeros((1, _SIZE, _SIZE, 3), dtype=np.uint8), labels[:1])
    images = UNKNOWN_FAMILIES["digits"].draw(generator, nothing, np.arange(len(labels)))
    data = _data(known, images[train], labels[train], images[test], labels[test], None)
    return _areas(data, _COMPACT, np.isin(labels[test], known), seed)


def _data(
    known: tuple[int, ...],
    train: np.ndarray,
    train_labels: Int64[np.ndarray, " n"],
    test: np.ndarray,
    test_labels: Int64[np.ndarray, " n"],
    features: CellFeatures | None,
) -> CellData:
    """Unknown test images get a label too, which nothing here reads."""
    names = tuple(map(str, known))
    of_test = np.searchsorted(known, test_labels).clip(max=len(known) - 1)
    return CellData(
        names, train, np.searchsorted(known, train_labels), test, of_test, dataset_hash="", features=features
    )


def _areas(data: CellData, changes: dict[str, Any], is_known: np.ndarray, seed: int) -> dict[str, float]:
    document = {"dataset": "any", "image_size": _SIZE, "seed": seed, "noise": None, "holdout": 0}
    cell = prepare_cell(TrainingExperiment.model_validate(document | changes), data, 0)
    ((outcome,),) = run_executions(cell, [seed], between_batches=lambda: None, on_epoch=lambda _: None)
    assert isinstance(outcome, ExecutionOutcome)
    return dict(_area_by_score(outcome, cell.inputs, cell.labels, is_known))


def _area_by_score(
    outcome: ExecutionOutcome, inputs: np.ndarray, labels: Int64[np.ndarray, " n"], is_known: np.ndarray
) -> Iterator[tuple[str, float]]:
    tested = outcome.test_answers
    most = min(_MOST_IMAGES, _MOST_BYTES // (4 * tested.features.shape[1]))
    chosen = np.random.default_rng(outcome.seed).permutation(len(labels))[:most]
    training = TrainingAnswers(*answer(outcome.trained, inputs[chosen]), labels[chosen])
    logits = KnownLogits(tested.logits)
    for name, scorer in SCORES.items():
        unknownness = scorer.unknownness(scorer.value(logits, tested.features, scorer.fit(training)))
        yield name, auroc(unknownness[is_known], unknownness[~is_known])


if __name__ == "__main__":
    main()
