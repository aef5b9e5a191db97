"""Own photographs: a layer on features, fine-tuning, and the loop of a textbook, with the same backbone and images.

    python benchmarks/own_images.py --images FOLDER [--size 224] [--train 80] [--test 60] [--seeds 3] [--plain-epochs 25]

FOLDER holds a folder of photographs for each class. --train and --test of them are drawn at random, the same ones for all three.
A tenth of those to train on is held out, from all three: fine-tuning stops by it. The textbook's loop trains all layers by SGD
(rate 0.001, divided by ten every 7 epochs, momentum 0.9) with batches of 4, random crops and flips, for 25 epochs; with fewer
--plain-epochs its time is projected from those, and its accuracy is that of the epochs that were trained.

Time is that of the processor on one core, so that other work on the machine counts little. Preparing is what is done once for all
seeds. The weights of other backbones than the embedded one are looked for in NOISEGATE_WEIGHTS_DIR, then fetched.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from record import keep
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from noisegate.evaluation.executions import run_executions
from noisegate.inference.decoding import ImageLimits, decode_image
from noisegate.learning.cells import CellData, CellFeatures, PreparedCell, holdout_mask, prepare_cell
from noisegate.learning.encoding import make_encoder
from noisegate.learning.outcomes import ExecutionOutcome
from noisegate.networks.backbones import backbone_of
from noisegate.networks.backbones.loading import load
from noisegate.networks.pretrained import LoadedBackbone
from noisegate.seeds import derive_seed
from noisegate.spec import TrainingExperiment

_PLAIN_EPOCHS, _PLAIN_BATCH = 25, 4
_LIMITS = ImageLimits(max_bytes=2**26, max_pixels=2**27)
_HOLDOUT = 0.1


@dataclass(frozen=True)
class Photographs:
    """Files and labels to train on and to test on, and the same as pixels."""

    files: list[Path]
    data: CellData


class Folder(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision's ImageFolder: a file is opened each time that it is asked for."""

    def __init__(self, files: list[Path], labels: np.ndarray, transform: Callable[[Image.Image], torch.Tensor]) -> None:
        self._files, self._labels, self._transform = files, labels, transform

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        with Image.open(self._files[place]) as image:
            return self._transform(image.convert("RGB")), int(self._labels[place])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="a folder of <class>/*")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--train", type=int, default=80, help="images a class")
    parser.add_argument("--test", type=int, default=60, help="images a class")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plain-epochs", type=int, default=_PLAIN_EPOCHS, help="0 leaves the loop out")
    parser.add_argument("--training", type=json.loads, default={}, help="fine_tune's settings, as JSON")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    backbone = load(backbone_of(asked.backbone), None, _weights_folder())
    shown = drawn(asked.images, asked.size, asked.train, asked.test)
    seeds = range(asked.seeds)
    found = {
        "linear": ours(shown, backbone, {"recipe": "linear"}, seeds),
        "fine_tune": ours(shown, backbone, {"recipe": "fine_tune"} | asked.training, seeds),
    }
    if asked.plain_epochs:
        found["textbook"] = {"runs": [textbook(shown, backbone, seed, asked.plain_epochs) for seed in seeds]}
    settings = {
        "backbone": asked.backbone,
        "size": asked.size,
        "train_a_class": asked.train,
        "test_a_class": asked.test,
    }
    print(f"Kept in {keep('own_images', {**settings, **found}, asked.json)}")


def drawn(folder: Path, size: int, train: int, test: int) -> Photographs:
    """The same images each time, classes in the order of their names."""
    classes = sorted(place.name for place in folder.iterdir() if place.is_dir())
    generator, chosen = np.random.default_rng(0), []
    for name in classes:
        files = sorted((folder / name).iterdir())
        assert len(files) >= train + test, f"{name} has {len(files)} images"
        chosen.append([files[place] for place in generator.permutation(len(files))[: train + test]])
    parts = [[file for files in chosen for file in files[:train]], [file for files in chosen for file in files[train:]]]
    pixels = [np.stack([decode_image(file.read_bytes(), size, _LIMITS) for file in part]) for part in parts]
    labels = [np.repeat(np.arange(len(classes)), count) for count in (train, test)]
    return Photographs(parts[0], CellData(tuple(classes), pixels[0], labels[0], pixels[1], labels[1], "0" * 64))


def ours(shown: Photographs, backbone: LoadedBackbone, training: dict[str, Any], seeds: range) -> dict[str, Any]:
    """Accuracies and seconds of one of Noisegate's recipes."""
    started = time.process_time()
    cell = prepared(shown, backbone, training)
    preparing, runs = time.process_time() - started, []
    for seed in seeds:
        started = time.process_time()
        rounds = run_executions(cell, [seed], between_batches=lambda: None, on_epoch=lambda _: None)
        (outcome,) = next(rounds)
        assert isinstance(outcome, ExecutionOutcome), "training diverged"
        runs.append(
            {
                "accuracy": outcome.metrics.accuracy,
                "epochs": len(outcome.trained.losses),
                "seconds": time.process_time() - started,
            }
        )
        print(training["recipe"], json.dumps(runs[-1]), flush=True)
    return {"training": training, "preparing_seconds": preparing, "runs": runs}


def prepared(shown: Photographs, backbone: LoadedBackbone, training: dict[str, Any]) -> PreparedCell:
    """What executions of the recipe share: features, or activations of the images and of their mirror images."""
    data, size = shown.data, shown.data.train_images.shape[1]
    spec = TrainingExperiment.model_validate(
        {
            "dataset": "own images",
            "network": {"backbone": backbone.backbone.name},
            "image_size": size,
            "training": training,
            "holdout": _HOLDOUT,
        }
    )
    tuned, cut = spec.training.tunes_backbone, backbone.backbone.cut
    assert cut is not None or not tuned, f"{backbone.backbone.name} cannot be cut"
    encoder = make_encoder(backbone, size, cut.upto if tuned and cut else None)
    flipped = encoder.mirrored(data.train_images) if spec.training.augmentation else None
    features = CellFeatures(encoder(data.train_images), encoder(data.test_images), encoder, flipped)
    return prepare_cell(spec, replace(data, features=features), 0)


def textbook(shown: Photographs, backbone: LoadedBackbone, seed: int, epochs: int) -> dict[str, Any]:
    """Accuracy after `epochs`, and processor seconds of all epochs, projected where fewer are trained."""
    torch.manual_seed(seed)
    size, classes = shown.data.train_images.shape[1], len(shown.data.classes)
    network = _fresh(backbone, classes)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    batches, loss_of = _batches(shown, backbone, size), nn.CrossEntropyLoss()
    started = time.process_time()
    for _ in range(epochs):
        network.train()
        for images, labels in batches:
            optimizer.zero_grad()
            loss_of(network(images), labels).backward()
            optimizer.step()
        schedule.step()
    seconds = time.process_time() - started
    found = {"accuracy": _accuracy(network, shown.data, backbone), "epochs": epochs, "seconds": seconds}
    found["seconds_of_all_epochs"] = seconds / epochs * _PLAIN_EPOCHS
    print("textbook", json.dumps(found), flush=True)
    return found


def _weights_folder() -> Path | None:
    folder = os.environ.get("NOISEGATE_WEIGHTS_DIR")
    return Path(folder) if folder else None


def _fresh(backbone: LoadedBackbone, classes: int) -> nn.Module:
    layers = load(backbone.backbone, None, _weights_folder()).network.requires_grad_(True)
    width = layers.head_hidden_size
    assert isinstance(width, int)
    return nn.Sequential(layers, nn.Linear(width, classes))


def _batches(shown: Photographs, backbone: LoadedBackbone, size: int) -> DataLoader[tuple[torch.Tensor, int]]:
    levels = backbone.preprocessing
    assert levels.std is not None, "backbones have one"
    changes = [
        transforms.RandomResizedCrop(size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((levels.mean / 255).tolist(), (levels.std / 255).tolist()),
    ]
    data = shown.data
    kept = np.flatnonzero(~holdout_mask(data.train_labels, _HOLDOUT, derive_seed(0, "holdout")))
    images = Folder([shown.files[place] for place in kept], data.train_labels[kept], transforms.Compose(changes))
    return DataLoader(images, batch_size=_PLAIN_BATCH, shuffle=True)


@torch.inference_mode()
def _accuracy(network: nn.Module, data: CellData, backbone: LoadedBackbone) -> float:
    network.eval()
    right = 0
    for start in range(0, len(data.test_labels), 32):
        images = torch.from_numpy(data.test_images[start : start + 32])
        answers = network(backbone.preprocessing.shown(images)).argmax(dim=1).numpy()
        right += int((answers == data.test_labels[start : start + 32]).sum())
    return right / len(data.test_labels)


if __name__ == "__main__":
    main()
