"""What a recipe asks of every run, however many are trained at once (PAPER.md, "Recipe").

A recipe's numbers stand in its spec (noisegate.spec.recipes); here they become an optimizer and arithmetic. One difference from
MATLAB, in which the paper was made, remains: its momentum carries steps (learning rate included), PyTorch's carries gradients,
so the few updates just after a drop differ.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from noisegate.spec import TrainingSpec

Precision = Literal["bfloat16", "float32"]

_DTYPES: dict[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def make_optimizer(
    parameters: Iterable[tuple[Tensor, nn.Parameter]],
    spec: TrainingSpec,
    shares: Mapping[nn.Parameter, float] = MappingProxyType({}),
) -> torch.optim.Optimizer:
    """The recipe's optimizer; weight decay is on weights alone, neither on biases nor on the scales and shifts of norms.

    On a GPU its learning rate is a number on the device, read anew at each step: a recorded step outlives a schedule.

    Args:
        parameters: each one network's own shape of a parameter (of the first run, if runs are stacked), and what is trained.
        shares: of the learning rate, for each parameter that learns by less than all of it.
    """
    asked, pairs = spec.descent, list(parameters)
    groups: list[dict[str, Any]] = []
    for share in sorted({shares.get(one, 1.0) for _, one in pairs}, reverse=True):
        alike = [(own, one) for own, one in pairs if shares.get(one, 1.0) == share]
        weights, others = [one for own, one in alike if own.ndim > 1], [one for own, one in alike if own.ndim == 1]
        groups += [{"params": weights, "weight_decay": asked.weight_decay, "share": share}]
        groups += [{"params": others, "weight_decay": 0.0, "share": share}]
    device = pairs[0][1].device
    on_gpu = device.type == "cuda"
    for group in groups:  # each with a number of its own
        rate = spec.rate_at(0, 1) * group["share"]
        group["lr"] = torch.tensor(rate, device=device) if on_gpu else rate
    if asked.optimizer == "adamw":
        return torch.optim.AdamW(groups, capturable=on_gpu, fused=on_gpu)
    return torch.optim.SGD(groups, momentum=asked.momentum, nesterov=asked.nesterov, fused=on_gpu)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of the head; other parameters have their shares of it. From the next step on."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * group["share"])
        else:
            group["lr"] = rate * group["share"]


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
