"""Eight GiB of a GPU and the paper's largest cell: how many executions are said to fit, and whether they do."""

import time
from functools import partial
from typing import Any

import torch

from noisegate.learning.engines import ENGINES, EngineName
from noisegate.learning.memory import InsufficientMemory, Needed, needed
from noisegate.learning.recipe import choose_precision
from noisegate.learning.training import Diverged, Together
from noisegate.spec import PaperRecipe
from train_parts.bench import Bench, Record
from train_parts.made_up import OUTPUTS, images_and_labels, train_all
from train_parts.sizes import GIB
from train_parts.step_times import best_engine, release

_LIMIT = 8 * GIB


def measure(bench: Bench, record: Record) -> None:
    """What is reckoned for every engine, a cell that is refused, and a training under the limit."""
    sizes, engine = bench.sizes, best_engine(bench)
    record |= {"limit_bytes": _LIMIT, "images": sizes.big_images, "fitting": {}}
    for name in ENGINES:
        bench.attempt(record["fitting"], name, partial(_fitting, bench, name, sizes.most))
    too_large: dict[str, Any] = {"image_size": 224, "spec": PaperRecipe(batch_size=8192)}
    record["too_large"] = {"image_size": 224, "batch_size": 8192, "engine": engine}
    bench.attempt(record["too_large"], "answer", lambda: _fitting(bench, engine, sizes.most, **too_large))
    count = record["fitting"][engine]
    record["trained"] = trained = {"engine": engine, "executions": count}
    if isinstance(count, int):
        bench.attempt(trained, "found", lambda: _train_within(bench, engine, count))


def _fitting(bench: Bench, engine: EngineName, most: int, **other: Any) -> int | Record:
    """How many fit, or how it is refused."""
    try:
        return _needed(bench, engine, **other).fitting(_LIMIT, most, str(bench.device))
    except InsufficientMemory as error:
        return {"refused": str(error), "remedy": error.remedy}


def _needed(bench: Bench, engine: EngineName, **other: Any) -> Needed:
    sizes = bench.sizes
    asked: dict[str, Any] = {
        "image_size": sizes.image_size,
        "spec": PaperRecipe(batch_size=sizes.batch),
    } | other
    return needed(
        network="paper",
        outputs=OUTPUTS,
        images=sizes.big_images,
        precision=choose_precision("auto", bench.device),
        engine=engine,
        **asked,
    )


def _train_within(bench: Bench, engine: EngineName, count: int) -> Record:
    """So many at once for some updates, in a process that may have no more than the limit of the GPU."""
    sizes = bench.sizes
    images, labels = images_and_labels(sizes.big_images, sizes.image_size)
    # As many updates as so many images would make: an epoch of all would take too long.
    spec = PaperRecipe(epochs=1, batch_size=sizes.batch, equal_updates=True)
    with_limit = bench.on_gpu
    release(bench)
    if with_limit:
        total = torch.cuda.get_device_properties(bench.device).total_memory
        torch.cuda.set_per_process_memory_fraction(_LIMIT / total, bench.device)
        torch.cuda.reset_peak_memory_stats(bench.device)
    try:
        started = time.perf_counter()
        rounds = train_all(
            images,
            labels,
            spec,
            range(count),
            known_images=sizes.big_updates * sizes.batch,
            device=str(bench.device),
            together=Together(count, engine),
        )
        found: Record = {
            "executions_by_round": [len(one) for one in rounds],
            "updates": sizes.big_updates,
            "seconds": time.perf_counter() - started,
            "diverged": sum(isinstance(one, Diverged) for together in rounds for one in together),
        }
        if with_limit:
            found["peak_allocated_bytes"] = torch.cuda.max_memory_allocated(bench.device)
            found["peak_reserved_bytes"] = torch.cuda.max_memory_reserved(bench.device)
        return found
    finally:
        release(bench)
        if with_limit:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
