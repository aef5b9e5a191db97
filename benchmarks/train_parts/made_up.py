"""Made-up images, in memory and as JPEG files, and a training set of them: as large as CIFAR-10 unless told otherwise."""

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noisegate.learning.batches import Batch
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.recipe import Precision, choose_precision
from noisegate.learning.states import TrainingSet, fresh_state
from noisegate.learning.training import train
from noisegate.networks.preprocessing import fitted
from noisegate.spec import PaperRecipe, TrainingSpec
from train_parts.sizes import Sizes

OUTPUTS = 11
_CLASSES = 10
_BLOCK = 50_000

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def images_and_labels(count: int, image_size: int) -> tuple[Images, Labels]:
    """Noise that is the brighter the higher its label, so that there is something to learn. From 50,000 on it repeats."""
    generator = np.random.default_rng(1801)
    block = min(count, _BLOCK)
    labels = generator.integers(0, OUTPUTS, block)
    images = generator.integers(0, 206, (block, image_size, image_size, 3), dtype=np.uint8)
    images += (5 * labels).astype(np.uint8)[:, None, None, None]
    places = np.arange(count) % block
    return (images, labels) if count == block else (images[places], labels[places])


def training_set(
    images: Images,
    labels: Labels,
    device: torch.device,
    *,
    batch: int,
    precision: Precision | None = None,
    **spec: Any,
) -> TrainingSet:
    """As `train` makes it, for the paper's network and recipe but for what is given."""
    return TrainingSet(
        images=torch.from_numpy(images).to(device),
        labels=torch.from_numpy(labels).to(device),
        preprocessing=fitted("mean_image", images).to(device),
        network="paper",
        outputs=OUTPUTS,
        spec=PaperRecipe(batch_size=batch, **spec),
        precision=precision or choose_precision("auto", device),
        known_images=len(images),
    )


def states_of(data: TrainingSet, executions: int) -> list[TrainingState]:
    return [fresh_state(data, seed) for seed in range(executions)]


def next_batches(states: Sequence[TrainingState]) -> Batch:
    """A fresh batch of each, as the training loop takes them."""
    return Batch.stacked([next(state.batches) for state in states])


def train_all(images: Images, labels: Labels, spec: TrainingSpec, seeds: Sequence[int], **more: Any) -> list[list[Any]]:
    """What comes of `train` by rounds of those trained together; on made-up images that nobody hears of, unless `more` says so."""
    usual: dict[str, Any] = {"network": "paper", "outputs": OUTPUTS, "known_images": len(images)}
    callbacks: dict[str, Any] = {"between_batches": _nothing, "on_epoch": _nothing}
    return list(train(images, labels, spec=spec, seeds=seeds, **(usual | callbacks | more)))


def _nothing(*_: object) -> None:
    """A callback that does nothing."""


def jpegs_in(folder: Path, archive: Path | None, sizes: Sizes) -> Path:
    """Where JPEGs lie by class: those of an archive, or made-up ones written into `folder`."""
    if archive:
        return unpack_training(archive, folder)
    write_jpegs(folder, sizes.naive_files, sizes.image_size)
    return folder


def write_jpegs(folder: Path, count: int, image_size: int) -> None:
    """<class>/<n>.jpg in ten classes: blurred noise, as large a file as a photograph of that size."""
    from PIL import Image  # Pillow may be absent, and only this needs it

    generator = np.random.default_rng(1801)
    for number in range(count):
        place = folder / f"class_{number % _CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = generator.integers(0, 256, (image_size // 2, image_size // 2, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((image_size, image_size), Image.Resampling.BICUBIC)
        image.save(place / f"{number}.jpg", quality=90)


def unpack_training(archive: Path, folder: Path) -> Path:
    """The folder of training images by class: of a directory, or of a tar that is unpacked into `folder`."""
    if archive.is_dir():
        return archive / "train" if (archive / "train").is_dir() else archive
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return next((path for path in sorted(folder.rglob("train")) if path.is_dir()), folder)
