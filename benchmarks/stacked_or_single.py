"""Do executions that take their steps together reach the accuracy of executions that are trained one at a time?

    python benchmarks/stacked_or_single.py --archive CIFAR10.tar.xz [--engine grouped] [--images 50000] [--halve] [--seeds 5]

The paper's recipe for twelve epochs (scale `quick`), without noise; on request with images of half the size, a quarter of the
work. The same seeds both ways: one process trains them one at a time, another as one stack, on a core each, or one after the
other on a GPU. Welch's test of the test accuracies; exits with 1 if it parts them at 5 %, or if the losses of the first epoch
differ by more than one part in a thousand.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from record import keep
from scipy import stats
from train_parts.accuracy import EPOCHS, read_archive
from train_parts.made_up import Images, train_all

from noisegate.learning.engines import ENGINES, EngineName
from noisegate.learning.prediction import predict_each
from noisegate.learning.stacking import Form
from noisegate.learning.training import Progress, Together, Trained
from noisegate.spec import PaperRecipe

_LEVEL = 0.05
_FIRST_EPOCH_TOLERANCE = 1e-3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="tar of train/<class>/*, test/<class>/*")
    parser.add_argument("--engine", choices=get_args(Form), default="grouped")
    parser.add_argument("--images", type=int, default=50_000, help="of the training set, spread over it evenly")
    parser.add_argument("--halve", action="store_true", help="the mean of every two by two pixels")
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    assert asked.engine in ENGINES
    ways: dict[EngineName, int] = {"separate": 1, asked.engine: asked.seeds}
    data = asked.archive, asked.images, asked.halve
    jobs = [(*data, range(asked.seeds), Together(most, name)) for name, most in ways.items()]
    processes = 1 if torch.cuda.is_available() else 2
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        single, stacked = pool.map(_train, *zip(*jobs, strict=True))
    welch = stats.ttest_ind(single["accuracy_pct"], stacked["accuracy_pct"], equal_var=False)
    first = [abs(a[0] / b[0] - 1) for a, b in zip(single["losses"], stacked["losses"], strict=True)]
    figures: dict[str, Any] = {
        "epochs": EPOCHS,
        "images": asked.images,
        "halved": asked.halve,
        "single": single,
        "stacked": stacked,
        "difference_points": float(np.mean(stacked["accuracy_pct"]) - np.mean(single["accuracy_pct"])),
        "welch_p": float(welch.pvalue),
        "first_epoch_loss_relative_difference": max(first),
    }
    agree = welch.pvalue > _LEVEL and max(first) < _FIRST_EPOCH_TOLERANCE
    for name, found in (("one at a time", single), (f"{asked.seeds} at once, {asked.engine}", stacked)):
        accuracies = ", ".join(f"{one:.2f}" for one in found["accuracy_pct"])
        print(f"{name}: {np.mean(found['accuracy_pct']):.2f} % ({accuracies}), {found['seconds']:,.0f} s")
    print(f"Welch p = {welch.pvalue:.3f}; losses of the first epoch within {max(first):.1e}: agree = {agree}")
    print(f"Kept in {keep('stacked_or_single', figures)}")
    return 0 if agree else 1


def _train(archive: Path, count: int, halve: bool, seeds: Sequence[int], together: Together) -> dict[str, Any]:
    torch.set_num_threads(1)
    (images, labels), (test_images, test_labels) = read_archive(archive)
    if halve:
        images, test_images = _halved(images), _halved(test_images)
    chosen = np.linspace(0, len(images) - 1, count).astype(np.int64)

    def tell(progress: Progress) -> None:
        print(f"{together.engine}: seed {progress.seed}, epoch {progress.epoch}: {progress.loss:.4f}", flush=True)

    rounds = train_all(
        images[chosen],
        labels[chosen],
        PaperRecipe(epochs=EPOCHS),
        seeds,
        outputs=10,
        on_epoch=tell,
        device="cuda" if torch.cuda.is_available() else "cpu",
        together=together,
    )
    trained = [result for one in rounds for result in one if isinstance(result, Trained)]
    answers = predict_each([one.module for one in trained], trained[0].preprocessing, test_images)
    return {
        "engine": together.engine,
        "at_once": together.most,
        "precision": trained[0].precision,
        "accuracy_pct": [100 * float((logits.argmax(axis=1) == test_labels).mean()) for logits, _ in answers],
        "losses": [list(one.losses) for one in trained],
        "seconds": sum(one.train_seconds for one in trained) / together.most,
    }


def _halved(images: Images) -> Images:
    count, size = images.shape[:2]
    pairs = images.reshape(count, size // 2, 2, size // 2, 2, 3)
    halved: Images = pairs.mean(axis=(2, 4), dtype=np.float32).astype(np.uint8)
    return halved


if __name__ == "__main__":
    sys.exit(main())
