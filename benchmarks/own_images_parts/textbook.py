"""Transfer learning as PyTorch's tutorial teaches it, written anew from its description: all layers, one plain loop.

SGD with rate 0.001 and momentum 0.9, the rate divided by ten every 7 epochs, 25 epochs, batches of 4, random crops and flips; after
each epoch the held-out images, and the epoch that does best on them is kept. Tests take the middle of the image, as the
tutorial does (`accuracy`), and the whole image, as Noisegate does (`accuracy_of_whole_images`).
"""

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from noisegate.networks.backbones import backbone_of
from noisegate.networks.backbones.loading import load
from noisegate.networks.preprocessing import Preprocessing
from own_images_parts.photographs import Photographs

EPOCHS, BATCH = 25, 4
# The tutorial resizes to 256 where it trains at 224.
_MARGIN = 256 / 224

Batches = DataLoader[tuple[Tensor, int]]


class Files(Dataset[tuple[Tensor, int]]):
    """As torchvision's ImageFolder: a file is opened each time that it is asked for."""

    def __init__(self, files: Sequence[Path], labels: np.ndarray, transform: Callable[[Image.Image], Tensor]) -> None:
        self._files, self._labels, self._transform = files, labels, transform

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        with Image.open(self._files[place]) as image:
            return self._transform(image.convert("RGB")), int(self._labels[place])


def textbook(shown: Photographs, backbone: str, size: int, seed: int) -> dict[str, Any]:
    """Whole training on one core: accuracies on the test images, and processor seconds of training."""
    torch.manual_seed(seed)
    network, levels = _network(backbone, len(shown.classes))
    training, holdout = _loaders(shown, levels, size, workers=0)
    started = time.process_time()
    kept, best = network, -1.0
    for epoch, losses in enumerate(_epochs(network, training, EPOCHS)):
        if (found := _accuracy(network, holdout)) > best:
            kept, best = copy.deepcopy(network), found
        seconds = time.process_time() - started
        print(
            f"textbook seed {seed} epoch {epoch + 1}: loss {losses:.3f}, holdout {found:.3f}, {seconds:.0f} s",
            flush=True,
        )
    seconds = time.process_time() - started
    middle, whole = (
        _accuracy(kept, DataLoader(Files(shown.test, shown.test_labels, how), batch_size=32))
        for how in (_middle(size, levels), _whole(size, levels))
    )
    result = {"seed": seed, "accuracy": middle, "accuracy_of_whole_images": whole, "holdout_accuracy": best}
    result |= {"epochs": EPOCHS, "core_seconds": seconds}
    print("textbook", json.dumps(result), flush=True)
    return result


def textbook_seconds(shown: Photographs, backbone: str, size: int, epochs: int = 3) -> dict[str, Any]:
    """How long it takes on all cores, from some epochs: seconds of each, and of all 25 if each took the median."""
    torch.manual_seed(0)
    network, levels = _network(backbone, len(shown.classes))
    training, holdout = _loaders(shown, levels, size, workers=2)
    seconds, before = [], time.perf_counter()
    for _ in _epochs(network, training, epochs):
        _accuracy(network, holdout)
        seconds.append(time.perf_counter() - before)
        before = time.perf_counter()
    result = {
        "threads": torch.get_num_threads(),
        "epoch_seconds": seconds,
        "all_seconds": EPOCHS * float(np.median(seconds)),
    }
    print("textbook on all cores", json.dumps(result), flush=True)
    return result


def _epochs(network: nn.Module, training: Batches, epochs: int) -> Iterator[float]:
    """Trains one epoch after another; the mean loss of each."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(epochs):
        network.train()
        total = 0.0
        for images, labels in training:
            optimizer.zero_grad()
            loss = loss_of(network(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        schedule.step()
        yield total / len(training)


def _network(backbone: str, classes: int) -> tuple[nn.Module, Preprocessing]:
    loaded = load(backbone_of(backbone), None, None)
    layers = loaded.network.requires_grad_(True)
    width = layers.head_hidden_size
    assert isinstance(width, int)
    return nn.Sequential(layers, nn.Linear(width, classes)), loaded.preprocessing


def _loaders(shown: Photographs, levels: Preprocessing, size: int, workers: int) -> tuple[Batches, Batches]:
    changed = transforms.Compose(
        [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor(), _scaled(levels)]
    )
    training, holdout = (
        Files([file for file, chosen in zip(shown.train, which, strict=True) if chosen], shown.train_labels[which], how)
        for which, how in ((~shown.held, changed), (shown.held, _middle(size, levels)))
    )
    return (
        DataLoader(training, batch_size=BATCH, shuffle=True, num_workers=workers),
        DataLoader(holdout, batch_size=BATCH, num_workers=workers),
    )


def _middle(size: int, levels: Preprocessing) -> Callable[[Image.Image], Tensor]:
    steps = [
        transforms.Resize(round(size * _MARGIN)),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        _scaled(levels),
    ]
    composed: Callable[[Image.Image], Tensor] = transforms.Compose(steps)
    return composed


def _whole(size: int, levels: Preprocessing) -> Callable[[Image.Image], Tensor]:
    composed: Callable[[Image.Image], Tensor] = transforms.Compose(
        [transforms.Resize((size, size)), transforms.ToTensor(), _scaled(levels)]
    )
    return composed


def _scaled(levels: Preprocessing) -> transforms.Normalize:
    assert levels.std is not None, "backbones have one"
    return transforms.Normalize((levels.mean / 255).tolist(), (levels.std / 255).tolist())


@torch.inference_mode()
def _accuracy(network: nn.Module, batches: Batches) -> float:
    network.eval()
    right = sum(int((network(images).argmax(dim=1) == labels).sum()) for images, labels in batches)
    return right / len(batches.dataset)  # type: ignore[arg-type]  # Files has a length
