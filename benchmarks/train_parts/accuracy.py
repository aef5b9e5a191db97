"""Twelve epochs of CIFAR-10 in bfloat16 and in float32: is anything lost?"""

import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from noisegate.learning.prediction import predict
from noisegate.learning.recipe import Precision
from noisegate.learning.training import Trained
from noisegate.spec.recipes import PaperRecipe
from train_parts.made_up import Images, Labels, train_all

EPOCHS = 12
_PRECISIONS: tuple[Precision, ...] = ("bfloat16", "float32")


def compare(archive: Path, seeds: int) -> dict[str, Any]:
    """Test accuracy of each precision for the same seeds, and seconds; `archive` holds train/<class>/*, test/<class>/*."""
    train_set, test_set = read_archive(archive)
    found: dict[str, Any] = {"epochs": EPOCHS, "seeds": seeds}
    for precision in _PRECISIONS:
        trained = [_train(*train_set, precision, seed) for seed in range(seeds)]
        found[precision] = {
            "accuracy_pct": [100 * _accuracy(one, *test_set) for one in trained],
            "train_seconds": [one.train_seconds for one in trained],
        }
        print(f"accuracy, {precision}: {found[precision]['accuracy_pct']} %", flush=True)
    first, second = (found[precision]["accuracy_pct"] for precision in _PRECISIONS)
    found["bfloat16_minus_float32_points"] = float(np.mean(first) - np.mean(second))
    return found


def _train(images: Images, labels: Labels, precision: Precision, seed: int) -> Trained:
    spec, device = PaperRecipe(epochs=EPOCHS, precision=precision), "cuda" if torch.cuda.is_available() else "cpu"
    ((trained,),) = train_all(images, labels, spec, [seed], outputs=10, on_epoch=print, device=device)
    assert isinstance(trained, Trained), "nothing diverges by this recipe"
    return trained


def _accuracy(trained: Trained, images: Images, labels: Labels) -> float:
    logits, _ = predict(trained.module, trained.preprocessing, images)
    return float((logits.argmax(axis=1) == labels).mean())


def read_archive(archive: Path) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """Training and test set of an archive of train/<class>/*, test/<class>/*: images and labels of each."""
    with tempfile.TemporaryDirectory(prefix="noisegate-archive-") as name:
        with tarfile.open(archive) as tar:
            tar.extractall(name, filter="data")
        top = next(path for path in sorted(Path(name).rglob("train")) if path.is_dir()).parent
        return _read_part(top / "train"), _read_part(top / "test")


def _read_part(folder: Path) -> tuple[Images, Labels]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(path, label) for label, place in enumerate(classes) for path in sorted(place.iterdir())]
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files])
    return images, np.array([label for _, label in files], dtype=np.int64)
