"""Training: many executions of one cell, one visible loop.

The recipe is the paper's (PAPER.md, "Recipe"): stochastic gradient descent with momentum, a learning rate that drops
in steps, L2 on weights but not on biases, the mean training image subtracted. As in MATLAB the mean is that of *all*
training images, those of the noise class included. One difference from MATLAB remains: its momentum carries steps
(learning rate included), PyTorch's carries gradients, so the few updates just after a drop differ.
"""

import contextlib
import copy
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

import numpy as np
import structlog
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from noisegate.learning.batches import Batches
from noisegate.learning.checkpoints import TrainingState, UnusableCheckpoint, restore, write_checkpoint
from noisegate.learning.networks import build_network
from noisegate.spec import TrainingSpec

Precision = Literal["bfloat16", "float32"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Progress:
    """Where an execution stands after an epoch. `epoch` counts from 1; `loss` is the epoch's mean."""

    seed: int
    epoch: int
    epochs: int
    loss: float
    images_per_second: float


# Called with an execution's progress and with what gives its checkpoint. That takes a copy of the whole network, so the
# callee decides whether one is due; once it has returned, the checkpoint can no longer be had.
OnCheckpoint = Callable[[Progress, Callable[[], bytes]], None]


@dataclass(frozen=True)
class Trained:
    """One trained network: on the CPU, float32, in evaluation mode. `mean` is the image to subtract (0 … 255)."""

    seed: int
    module: nn.Module
    mean: Float32[np.ndarray, "size size 3"]
    losses: tuple[float, ...]
    train_seconds: float
    images_per_second: float
    precision: Precision
    device: str


@dataclass(frozen=True)
class Diverged:
    """An execution whose loss, or whose logits after training, were no longer finite. `epoch` counts from 1."""

    seed: int
    epoch: int


@dataclass(frozen=True)
class _Task:
    """What all executions of a cell share."""

    images: UInt8[Tensor, "n size size 3"]
    labels: Int64[Tensor, " n"]
    mean: Float32[Tensor, "size size 3"]
    network: str
    outputs: int
    spec: TrainingSpec
    updates_per_epoch: int
    precision: Precision
    between_batches: Callable[[], None]
    on_epoch: Callable[[Progress], None]
    on_checkpoint: OnCheckpoint


def train(
    images: UInt8[np.ndarray, "n size size 3"],
    labels: Int64[np.ndarray, " n"],
    *,
    network: str,
    outputs: int,
    spec: TrainingSpec,
    seeds: Sequence[int],
    known_images: int,
    between_batches: Callable[[], None],
    on_epoch: Callable[[Progress], None],
    device: str = "cpu",
    resume: Mapping[int, bytes] = MappingProxyType({}),
    on_checkpoint: OnCheckpoint = lambda *_: None,
) -> list[Trained | Diverged]:
    """Train one network a seed; the results stand in the order of `seeds`.

    A seed decides initial weights and the order of images, and nothing else does: training seeds together or apart
    gives the same networks. On a CPU with one thread the same seed gives the same bytes; on a GPU max-pooling's
    gradient adds up in no fixed order, so last digits may differ.

    Args:
        images: all training images, those of the noise class included, 0 … 255.
        labels: 0 … `outputs` − 1.
        network: a key of `NETWORKS`.
        known_images: how many of `images` are not noise; what `spec.equal_updates` counts.
        between_batches: called before every batch. Whatever it raises stops training and passes through.
        on_epoch: called after every epoch of every execution.
        device: "cpu", "cuda" or "cuda:1".
        resume: the last checkpoint of a seed, made with the same arguments but perhaps other `epochs`. The execution goes
            on from there, and where the same seed gives the same bytes it ends as one never interrupted. A checkpoint
            that cannot be used is logged, and the execution starts anew.
        on_checkpoint: called after every epoch but an execution's last, just after `on_epoch`.
    """
    assert len(images) == len(labels) > 0
    assert 0 < known_images <= len(images)
    place = torch.device(device)
    task = _Task(
        images=_tensor(images).to(place),
        labels=_tensor(labels).to(place),
        mean=torch.from_numpy(mean_image(images)).to(place),
        network=network,
        outputs=outputs,
        spec=spec,
        updates_per_epoch=updates_per_epoch(spec, known_images if spec.equal_updates else len(images)),
        precision=choose_precision(spec.precision, place),
        between_batches=between_batches,
        on_epoch=on_epoch,
        on_checkpoint=on_checkpoint,
    )
    with _exact():
        return [_execute(task, seed, resume.get(seed)) for seed in seeds]


def _execute(task: _Task, seed: int, checkpoint: bytes | None) -> Trained | Diverged:
    spec, device = task.spec, task.images.device
    state = _start(task, seed, checkpoint)
    started = time.perf_counter() - state.train_seconds

    for epoch in range(len(state.losses) + 1, spec.epochs + 1):
        _set_learning_rate(state.optimizer, learning_rate(spec, epoch))
        total = torch.zeros((), device=device)
        for batch in itertools.islice(state.batches, task.updates_per_epoch):
            task.between_batches()
            total += _update(task, state, batch)  # reading it here would stop a GPU after every batch
            state.images_seen += len(batch)
        state.losses.append(total.item() / task.updates_per_epoch)
        if not math.isfinite(state.losses[-1]):
            return Diverged(seed, epoch)
        state.train_seconds = time.perf_counter() - started
        progress = Progress(seed, epoch, spec.epochs, state.losses[-1], state.images_seen / state.train_seconds)
        task.on_epoch(progress)
        if epoch < spec.epochs:
            task.on_checkpoint(progress, partial(write_checkpoint, state))

    seconds = time.perf_counter() - started
    return Trained(
        seed=seed,
        module=state.module.to("cpu").to(memory_format=torch.contiguous_format).eval(),
        mean=task.mean.cpu().numpy(),
        losses=tuple(state.losses),
        train_seconds=seconds,
        images_per_second=state.images_seen / seconds,
        precision=task.precision,
        device=str(device),
    )


def _start(task: _Task, seed: int, checkpoint: bytes | None) -> TrainingState:
    """An execution before its first batch, or where its checkpoint left it."""
    spec, device = task.spec, task.images.device
    generator = torch.Generator().manual_seed(seed)
    module = build_network(
        task.network,
        image_size=task.images.shape[1],
        outputs=task.outputs,
        first_layer_std=spec.first_layer_std,
        generator=generator,
    )
    module = module.to(device).to(memory_format=torch.channels_last).train()
    batches = Batches(len(task.images), spec.batch_size, generator, device)
    state = TrainingState(seed, task.precision, module, _optimizer(module, spec), batches)
    if checkpoint is not None:
        try:
            restore(state, checkpoint, epochs=spec.epochs)
        except UnusableCheckpoint as error:
            log.warning("checkpoint_ignored", seed=seed, reason=str(error))
    return state


def _update(task: _Task, state: TrainingState, batch: Int64[Tensor, " batch"]) -> Float[Tensor, ""]:
    """One step of gradient descent; the batch's mean loss, still on the device."""
    with _autocast(batch.device, task.precision):
        logits, _ = state.module(_normalised(task.images.index_select(0, batch), task.mean))
    loss = functional.cross_entropy(logits.float(), task.labels.index_select(0, batch))
    state.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    return loss.detach()


def _exact() -> contextlib.AbstractContextManager[None]:
    """float32 as it stands, in the same order each time: no TF32, no trying out of algorithms."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


@torch.inference_mode()
def predict(
    module: nn.Module,
    mean: Float32[np.ndarray, "size size 3"],
    images: UInt8[np.ndarray, "n size size 3"],
    device: str = "cpu",
    batch_pixels: int = 500 * 32**2,
    between_batches: Callable[[], None] = lambda: None,
) -> tuple[Float32[np.ndarray, "n outputs"], Float32[np.ndarray, "n width"]]:
    """Logits and features of `images` (0 … 255), in float32, a batch of so many pixels at a time. `module` stays."""
    assert len(images) > 0
    there = copy.deepcopy(module).to(device).eval()
    mean_there = torch.from_numpy(mean).to(device)
    parts = []
    batch_size = max(1, batch_pixels // images.shape[1] ** 2)
    with _exact():
        for start in range(0, len(images), batch_size):
            between_batches()
            batch = torch.tensor(np.asarray(images[start : start + batch_size]), device=device)
            logits, features = there(_normalised(batch, mean_there))
            parts.append((logits.cpu().numpy(), features.cpu().numpy()))
    return np.concatenate([logits for logits, _ in parts]), np.concatenate([features for _, features in parts])


def mean_image(images: UInt8[np.ndarray, "n size size 3"]) -> Float32[np.ndarray, "size size 3"]:
    """The mean of the images, 0 … 255. Sums are exact (whole numbers), so their order does not matter."""
    mean: Float32[np.ndarray, "size size 3"] = (images.sum(axis=0, dtype=np.uint64) / len(images)).astype(np.float32)
    return mean


def learning_rate(spec: TrainingSpec, epoch: int) -> float:
    """The learning rate of `epoch`, counted from 1."""
    drop = spec.learning_rate_drop
    return spec.learning_rate * drop.factor ** ((epoch - 1) // drop.every_epochs) if drop else spec.learning_rate


def updates_per_epoch(spec: TrainingSpec, images: int) -> int:
    """Weight updates an epoch for so many images: the last partial batch is dropped, unless it is the only one."""
    return max(1, images // spec.batch_size)


def choose_precision(asked: Literal["auto", "bfloat16", "float32"], device: torch.device) -> Precision:
    """`auto` is bfloat16 where the processor multiplies it itself; elsewhere bfloat16 would be slower than float32."""
    if asked != "auto":
        return asked
    return "bfloat16" if _multiplies_bfloat16(device) else "float32"


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    processor = torch.cpu.get_capabilities()
    return bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))


def _autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[object]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def _normalised(
    images: UInt8[Tensor, "batch size size 3"], mean: Float32[Tensor, "size size 3"]
) -> Float[Tensor, "batch 3 size size"]:
    # NHWC seen as NCHW is what PyTorch calls channels_last: the fast layout, without moving a byte.
    return (images.to(torch.float32) - mean).permute(0, 3, 1, 2)


def _optimizer(module: nn.Module, spec: TrainingSpec) -> torch.optim.SGD:
    weights = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in module.parameters() if parameter.ndim == 1]
    groups = [{"params": weights, "weight_decay": spec.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum)


def _set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _tensor(array: np.ndarray) -> Tensor:
    # A read-only memory map is copied: PyTorch has no read-only tensors.
    return torch.from_numpy(array if array.flags.writeable else array.copy())
