"""The loop that most would write: torchvision's ImageFolder, a DataLoader, float32, one network, `loss.item()` every step."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_CIFAR_10_IMAGES = 50_000


def network(outputs: int, image_size: int) -> nn.Sequential:
    """The paper's network, NCHW."""
    side = image_size
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 5, padding=2), nn.MaxPool2d(3, 2), nn.ReLU()),
        *(nn.Conv2d(32, 32, 5, padding=2), nn.MaxPool2d(3, 2), nn.ReLU()),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.MaxPool2d(3, 2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64 * side**2, 64), nn.ReLU(), nn.Linear(64, outputs)),
    )


def measure(
    folder: Path,
    device: torch.device,
    *,
    workers: int,
    batch: int,
    image_size: int,
    outputs: int,
    seconds: float,
    warm_up_images: int,
) -> dict[str, Any]:
    """Images a second for at least `seconds`, after a warm-up of so many images; of <class>/* in `folder`.

    Workers live on between epochs and memory is pinned: what costs a careful writer one word each.
    """
    model = network(outputs, image_size).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=0.004)
    loss_of = nn.CrossEntropyLoss()
    started, seen, updates, loss, warm = time.perf_counter(), 0, 0, 0.0, False
    for images, labels in _batches(folder, device, workers, batch):
        optimizer.zero_grad()
        error = loss_of(model(images.to(device)), labels.to(device))
        error.backward()
        optimizer.step()
        loss += error.item()
        seen, updates = seen + len(images), updates + 1
        taken = time.perf_counter() - started
        if not warm and seen >= warm_up_images:
            started, seen, updates, loss, warm = time.perf_counter(), 0, 0, 0.0, True
        elif warm and taken >= seconds:
            break
    return {"images_per_second": seen / taken, "workers": workers, "seconds": round(taken, 2), "loss": loss / updates}


def _batches(folder: Path, device: torch.device, workers: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: shuffled epochs of about as many images as CIFAR-10 has."""
    from torchvision import datasets, transforms  # may be absent, and only this needs it

    found = datasets.ImageFolder(str(folder), transform=transforms.ToTensor())
    repeated: torch.utils.data.Dataset[tuple[Tensor, Tensor]] = torch.utils.data.ConcatDataset(
        [found] * max(1, _CIFAR_10_IMAGES // len(found))
    )
    loader = torch.utils.data.DataLoader(
        repeated,
        batch_size=batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )
    while True:
        yield from loader
