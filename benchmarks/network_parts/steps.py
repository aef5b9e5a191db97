"""Images a second of `compact` with `one_cycle`, beside the loop that most would write for the same network."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from noisegate.learning.allocator import keep_freed_memory
from noisegate.learning.batches import Batch
from noisegate.learning.engines import build_engine
from noisegate.learning.recipe import exact_arithmetic
from noisegate.learning.states import TrainingSet, fresh_state
from noisegate.networks.building import Start, fresh_network
from noisegate.networks.preprocessing import fitted
from noisegate.spec.recipes import OneCycleRecipe

_BATCH = 256
_ROUNDS = 3
_WARM_UP_STEPS = 3
_STEPS = 12


class _Cifar10(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision's own: an array, a picture made of each image when it is asked for, and transforms."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels = images, labels
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=2, padding_mode="reflect"),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.49, 0.48, 0.45), (0.25, 0.24, 0.26)),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        return self._transform(Image.fromarray(self._images[place])), int(self._labels[place])


def compare_steps(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Both, in turn; the plain loop with the better of none and two loading processes."""
    threads = torch.get_num_threads()
    rounds = []
    for _ in range(_ROUNDS):
        plain = max(_plain(images, labels, workers, threads) for workers in (0, 2))
        rounds.append({"plain": plain, "ours": _ours(images, labels, threads)})
        print(
            f"plain loop {plain:.0f} images/s on {threads} threads, ours {rounds[-1]['ours']:.0f} in {threads} processes"
        )
    ratios = [one["ours"] / one["plain"] for one in rounds]
    print(f"ratio {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), n = {_ROUNDS}")
    return {"batch": _BATCH, "cores": threads, "rounds": rounds, "ratio_median": float(np.median(ratios))}


def _plain(images: np.ndarray, labels: np.ndarray, workers: int, threads: int) -> float:
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    model = fresh_network("compact", image_size=32, outputs=10, generator=generator, start=Start()).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.001)
    loss_of = nn.CrossEntropyLoss()
    loader = DataLoader(_Cifar10(images, labels), _BATCH, shuffle=True, drop_last=True, num_workers=workers)
    started = 0.0
    for step, (batch, wanted) in enumerate(loader):
        if step == _WARM_UP_STEPS:
            started = time.perf_counter()
        if step == _WARM_UP_STEPS + _STEPS:
            break
        optimizer.zero_grad()
        error = loss_of(model(batch)[0], wanted)
        error.backward()
        optimizer.step()
        error.item()
    return _STEPS * _BATCH / (time.perf_counter() - started)


def _ours(images: np.ndarray, labels: np.ndarray, processes: int) -> float:
    """Of all processes together; each trains a run of its own on one thread, as a worker's processes do."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        seeds: Sequence[int] = range(processes)
        return sum(pool.map(_one, [images] * processes, [labels] * processes, seeds))


def _one(images: np.ndarray, labels: np.ndarray, seed: int) -> float:
    torch.set_num_threads(1)
    keep_freed_memory()
    data = TrainingSet(
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        preprocessing=fitted("channels", images),
        network="compact",
        outputs=10,
        spec=OneCycleRecipe(recipe="one_cycle", batch_size=_BATCH),
        precision="float32",
        known_images=len(images),
    )
    state = fresh_state(data, seed)
    engine = build_engine("separate", data, [state])
    with exact_arithmetic():
        for step in range(_WARM_UP_STEPS + _STEPS):
            if step == _WARM_UP_STEPS:
                started = time.perf_counter()
            engine.step(Batch.stacked([next(state.batches)]))
        engine.take_losses().tolist()
    return _STEPS * _BATCH / (time.perf_counter() - started)
