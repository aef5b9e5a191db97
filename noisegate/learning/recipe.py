"""What the recipe asks of every execution, however many are trained at once (PAPER.md, "Recipe").

Stochastic gradient descent with momentum, a learning rate that drops in steps, L2 on weights but not on biases, the mean
training image subtracted. As in MATLAB the mean is that of *all* training images, those of the noise class included. One
difference from MATLAB remains: its momentum carries steps (learning rate included), PyTorch's carries gradients, so the
few updates just after a drop differ.
"""

import contextlib
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from noisegate.spec import TrainingSpec

Precision = Literal["bfloat16", "float32"]

_DTYPES: dict[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def learning_rate(spec: TrainingSpec, epoch: int) -> float:
    """The learning rate of `epoch`, counted from 1."""
    drop = spec.learning_rate_drop
    return spec.learning_rate * drop.factor ** ((epoch - 1) // drop.every_epochs) if drop else spec.learning_rate


def updates_per_epoch(spec: TrainingSpec, images: int) -> int:
    """Weight updates an epoch for so many images: the last partial batch is dropped, unless it is the only one."""
    return max(1, images // spec.batch_size)


def make_optimizer(weights: list[nn.Parameter], biases: list[nn.Parameter], spec: TrainingSpec) -> torch.optim.SGD:
    """The recipe's optimiser; L2 is on `weights` alone."""
    groups = [{"params": weights, "weight_decay": spec.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """For all parameters alike."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def mean_image(images: UInt8[np.ndarray, "n size size 3"]) -> Float32[np.ndarray, "size size 3"]:
    """The mean of the images, 0 … 255. Sums are exact (whole numbers), so their order does not matter."""
    mean: Float32[np.ndarray, "size size 3"] = (images.sum(axis=0, dtype=np.uint64) / len(images)).astype(np.float32)
    return mean


def normalised(
    images: UInt8[Tensor, "*batch size size 3"], mean: Float32[Tensor, "size size 3"]
) -> Float[Tensor, "*batch size size 3"]:
    """What a network is shown: float32, the mean subtracted."""
    # Not images - mean: on a CPU, numbers of two kinds are subtracted six times slower.
    return images.to(torch.float32).sub_(mean)


def choose_precision(asked: Literal["auto", "bfloat16", "float32"], device: torch.device) -> Precision:
    """`auto` is bfloat16 where the processor multiplies it itself; elsewhere bfloat16 would be slower than float32."""
    if asked != "auto":
        return asked
    return "bfloat16" if _multiplies_bfloat16(device) else "float32"


def dtype_of(precision: Precision) -> torch.dtype:
    """In which numbers are multiplied; weights, their updates and the loss are float32 either way."""
    return _DTYPES[precision]


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """float32 as it stands, in the same order each time: no TF32, no trying out of algorithms, sums of bfloat16 in float32."""
    products = torch.backends.cuda.matmul
    before = products.allow_bf16_reduced_precision_reduction
    products.allow_bf16_reduced_precision_reduction = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        products.allow_bf16_reduced_precision_reduction = before


def on_device(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Make a GPU the current one: graphs are recorded on it, whatever device the tensors are on."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    processor = torch.cpu.get_capabilities()
    return bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))
