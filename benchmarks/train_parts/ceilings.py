"""What the machine is, and what it reaches when it does nothing but multiply, or nothing but move bytes."""

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Any

import torch

from train_parts.bench import Bench, Record
from train_parts.timing import median_seconds

_ASKED = ("name", "driver_version", "power.limit", "clocks.max.sm", "memory.total")


def describe(bench: Bench, record: Record) -> None:
    """The device, its libraries, and the ceilings that were measured: GB/s read and written, and TFLOP/s of a matrix product."""
    record["device"] = _device(bench.device)
    record["torch"] = torch.__version__
    if bench.on_gpu:
        record["cuda"] = torch.version.cuda
        record["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        bench.attempt(record, "nvidia_smi", _nvidia_smi)
    bench.attempt(record, "copied_gb_per_second", lambda: _copied(bench))
    bench.attempt(record, "bfloat16_tflops", lambda: _multiplied(bench, torch.bfloat16, tf32=False))
    bench.attempt(record, "tf32_tflops", lambda: _multiplied(bench, torch.float32, tf32=True))
    bench.attempt(record, "float32_tflops", lambda: _multiplied(bench, torch.float32, tf32=False))


@contextlib.contextmanager
def tf32_products(allowed: bool) -> Iterator[None]:
    """Whether a GPU may round the factors of float32 matrix products to 10 bits."""
    products = torch.backends.cuda.matmul
    before = products.allow_tf32
    products.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32 = before


def _device(device: torch.device) -> Record:
    if device.type == "cpu":
        return {"name": "cpu", "threads": torch.get_num_threads()}
    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name,
        "memory_bytes": found.total_memory,
        "multiprocessors": found.multi_processor_count,
        "capability": f"{found.major}.{found.minor}",
    }


def _nvidia_smi() -> dict[str, Any]:
    command = ["nvidia-smi", f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader", "--id=0"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=20)
    return dict(zip(_ASKED, ended.stdout.strip().split(", "), strict=False))


def _copied(bench: Bench) -> float:
    size = bench.sizes.ceiling_bytes
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    seconds = median_seconds(lambda: target.copy_(source), bench.device, bench.sizes)
    return 2 * size / seconds / 1e9


def _multiplied(bench: Bench, dtype: torch.dtype, *, tf32: bool) -> float:
    side = bench.sizes.ceiling_side
    left, right = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    with tf32_products(tf32):
        seconds = median_seconds(lambda: torch.mm(left, right, out=product), bench.device, bench.sizes)
    return 2 * side**3 / seconds / 1e12
