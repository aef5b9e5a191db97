"""How long a step takes with each engine and so many executions at once, and how much memory."""

import gc
from functools import partial
from typing import Any

import torch

from noisegate.learning.engines import ENGINES, EngineName
from noisegate.learning.memory import needed
from noisegate.learning.states import TrainingSet
from train_parts.bench import Bench, Record
from train_parts.made_up import OUTPUTS, images_and_labels, training_set
from train_parts.timing import engine_named, step_seconds


def measure(bench: Bench, record: Record) -> None:
    """By executions at once, the most first, and by engine. Kept after every count of executions."""
    data = cifar_like(bench)
    record["precision"] = data.precision
    for count in bench.sizes.counts:
        row: Record = {}
        record[str(count)] = row
        for engine in ENGINES:
            if bench.left() < 15:
                row[engine] = {"failed": "no time left"}
                continue
            bench.attempt(row, engine, partial(_one, bench, data, engine, count))
            print(f"  {count} × {engine}: {row[engine].get('ms_per_step', 'failed')}", flush=True)
        bench.keep()


def cifar_like(bench: Bench, **choices: Any) -> TrainingSet:
    """As many images as CIFAR-10 has, made up, on the device."""
    images, labels = images_and_labels(bench.sizes.images, bench.sizes.image_size)
    return training_set(images, labels, bench.device, batch=bench.sizes.batch, **choices)


def best_engine(bench: Bench) -> EngineName:
    """The quickest with the most executions at once; `separate` if none was measured."""
    row = bench.results.get("steps", {}).get(str(bench.sizes.most), {})
    measured = {name: row[name]["ms_per_step"] for name in ENGINES if "ms_per_step" in row.get(name, {})}
    return min(measured, key=lambda name: measured[name], default="separate")


def best_figures(bench: Bench) -> dict[str, float] | None:
    """What was measured of it."""
    row = bench.results.get("steps", {}).get(str(bench.sizes.most), {})
    found: dict[str, float] = row.get(best_engine(bench), {})
    return found if "ms_per_step" in found else None


def figures_of(seconds: float, executions: int, batch: int) -> dict[str, float]:
    """A step of all, in the units that everything is told in."""
    return {
        "ms_per_step": 1000 * seconds,
        "ms_per_execution_step": 1000 * seconds / executions,
        "images_per_second": executions * batch / seconds,
    }


def release(bench: Bench) -> None:
    """Give a GPU back what nobody holds any more."""
    gc.collect()
    if bench.on_gpu:
        # cuBLAS keeps tens of MiB for each stream that it was ever called on, which would count for the next engine, too.
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


def _one(bench: Bench, data: TrainingSet, engine: EngineName, count: int) -> Record:
    release(bench)
    if bench.on_gpu:
        torch.cuda.reset_peak_memory_stats(bench.device)
        before = torch.cuda.memory_allocated(bench.device)
    seconds = step_seconds(engine_named(engine), data, count, bench.sizes)
    found: Record = dict(figures_of(seconds, count, bench.sizes.batch))
    if bench.on_gpu:
        free, total = torch.cuda.mem_get_info(bench.device)
        found["allocated_before_bytes"] = before
        found["peak_allocated_bytes"] = torch.cuda.max_memory_allocated(bench.device)
        found["peak_reserved_bytes"] = torch.cuda.max_memory_reserved(bench.device)
        found["device_used_bytes"] = total - free
    bench.attempt(found, "reckoned_bytes", lambda: _reckoned(bench, data, engine, count))
    return found


def _reckoned(bench: Bench, data: TrainingSet, engine: EngineName, count: int) -> int:
    sizes = bench.sizes
    return needed(
        network=data.network,
        outputs=OUTPUTS,
        image_size=sizes.image_size,
        images=sizes.images,
        spec=data.spec,
        precision=data.precision,
        engine=engine,
    ).of(count)
