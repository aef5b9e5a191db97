"""The photographs of the benchmark: an archive of <class>/*, unpacked once, and the same draw of it for all that is compared."""

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.learning.cells import CellData, holdout_mask
from noisegate.seeds import derive_seed

SEED = 0
# Images a class. What to tune on is drawn apart, so that no setting is chosen by the images that accuracies are told of.
TRAIN, TEST, TUNE = 100, 200, 200
# Of those to train on: fine-tuning and the tutorial's loop stop by it.
HOLDOUT = 0.1


@dataclass(frozen=True)
class Photographs:
    """Files to train on and to test on with their labels, 0 … classes − 1; classes in the order of their names."""

    classes: tuple[str, ...]
    train: Sequence[Path]
    train_labels: np.ndarray
    test: Sequence[Path]
    test_labels: np.ndarray

    @property
    def held(self) -> np.ndarray:
        """Which of the training images are held out; the same as in an experiment with this holdout and seed 0."""
        return holdout_mask(self.train_labels, HOLDOUT, derive_seed(SEED, "holdout"))

    def decoded(self, size: int) -> CellData:
        """As pixels, resized as training and serving do."""
        train, test = (
            np.stack([decode_image(file.read_bytes(), size, ImageLimits()) for file in files])
            for files in (self.train, self.test)
        )
        return CellData(self.classes, train, self.train_labels, test, self.test_labels, "0" * 64)


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder with the archive's photographs, which are unpacked unless it is there."""
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.partial")
        with tarfile.open(archive) as opened:
            opened.extractall(partial, filter="data")
        partial.rename(folder)
    return folder


def drawn(folder: Path, train: int = TRAIN, test: int = TEST, tune: int = 0) -> Photographs:
    """Photographs drawn with the seed, the same number of each class.

    Args:
        tune: 0 to test on the test images; else this number of others take their place, to choose settings by.
    """
    classes = tuple(sorted(place.name for place in folder.iterdir() if place.is_dir()))
    generator = np.random.default_rng(SEED)
    to_train: list[Path] = []
    to_test: list[Path] = []
    start, count = (train + test, tune) if tune else (train, test)
    for name in classes:
        files = sorted((folder / name).iterdir())
        assert len(files) >= start + count, f"{name} has {len(files)} images"
        places = generator.permutation(len(files))
        to_train += [files[place] for place in places[:train]]
        to_test += [files[place] for place in places[start : start + count]]
    labels = [np.repeat(np.arange(len(classes)), each) for each in (train, count)]
    return Photographs(classes, to_train, labels[0], to_test, labels[1])
