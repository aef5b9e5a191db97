"""What `train_cpu.py` measures in processes of their own, so that threads and memory of one are no part of another's."""

import contextlib
import multiprocessing
import resource
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from noisegate.learning.engines import ENGINES
from noisegate.learning.recipe import choose_precision
from noisegate.learning.training import Trained
from noisegate.spec import PaperRecipe, TrainingSpec
from train_parts import naive
from train_parts.made_up import OUTPUTS, images_and_labels, train_all, training_set
from train_parts.sizes import Sizes
from train_parts.step_times import figures_of
from train_parts.timing import engine_named, line_through, median_seconds, step_seconds
from train_parts.whole_training import Check

Record = dict[str, Any]

CPU = torch.device("cpu")
_PRODUCT_SIDES = (512, 1024, 2048)
_WARM_UP_BATCHES = 5
# The most seconds that one process waits for another to have loaded its libraries.
_MOST_WAITING = 300

_barrier: Barrier | None = None


def each_in_a_process(measure: Callable[..., Record], arguments: Sequence[Sequence[Any]]) -> list[Record]:
    """What `measure` finds with each of these arguments, all at the same time, each in a fresh process."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(arguments))
    with ProcessPoolExecutor(len(arguments), context, initializer=_remember, initargs=(barrier,)) as pool:
        return list(pool.map(measure, *zip(*arguments, strict=True)))


def naive_loop(folder: Path, workers: int, threads: int, seconds: float, sizes: Sizes) -> Record:
    """The naive loop on the CPU."""
    torch.set_num_threads(threads)
    return naive.measure(
        folder,
        CPU,
        workers=workers,
        batch=sizes.batch,
        image_size=sizes.image_size,
        outputs=OUTPUTS,
        seconds=seconds,
        warm_up_images=_WARM_UP_BATCHES * sizes.batch,
    )


class _Enough(Exception):
    """There is no other way to end a training early, and a worker's Stop takes it, too."""


def ours(seed: int, seconds: float, sizes: Sizes) -> Record:
    """`train` as a worker calls it, with one thread: images a second for `seconds`, and the most memory that it held."""
    torch.set_num_threads(1)
    images, labels = images_and_labels(sizes.images, sizes.image_size)
    batches, started = 0, 0.0

    def between_batches() -> None:
        nonlocal batches, started
        if batches == _WARM_UP_BATCHES:
            _wait_for_others()
            started = time.perf_counter()
        elif batches > _WARM_UP_BATCHES and time.perf_counter() - started >= seconds:
            raise _Enough
        batches += 1

    with contextlib.suppress(_Enough):
        _train(images, labels, PaperRecipe(batch_size=sizes.batch), seed, between_batches)
    taken, trained = time.perf_counter() - started, batches - _WARM_UP_BATCHES
    return {
        "images_per_second": trained * sizes.batch / taken,
        "precision": choose_precision("auto", CPU),
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "training_set_mib": images.nbytes / 2**20,
    }


def engines_at_once(counts: Sequence[int], sizes: Sizes) -> Record:
    """Step times of every engine in one process of one thread, beside the bound by arithmetic."""
    torch.set_num_threads(1)
    images, labels = images_and_labels(sizes.batch * 10, sizes.image_size)
    data = training_set(images, labels, CPU, batch=sizes.batch)
    found: Record = {"precision": data.precision}
    for count in counts:
        found[str(count)] = {
            name: figures_of(step_seconds(engine_named(name), data, count, sizes), count, sizes.batch)
            for name in ENGINES
        }
    return found


def product_flops(sizes: Sizes) -> Record:
    """Operations a second of a float32 matrix product on one core; the best of some sizes."""
    torch.set_num_threads(1)
    return {"flops_per_second": max(_flops_of_product(side, sizes) for side in _PRODUCT_SIDES)}


def _flops_of_product(side: int, sizes: Sizes) -> float:
    left, right = torch.randn(side, side), torch.randn(side, side)
    product = torch.empty_like(left)
    seconds = median_seconds(lambda: torch.mm(left, right, out=product), CPU, sizes)
    return 2 * side**3 / seconds


def epoch_seconds(counts: Sequence[int], sizes: Sizes) -> Record:
    """Seconds of an epoch by its number of images, and the line through them. The first training warms up."""
    torch.set_num_threads(1)
    found: dict[int, float] = {}
    for count in (counts[0], *counts):
        images, labels = images_and_labels(count, sizes.image_size)
        found[count] = _train(images, labels, PaperRecipe(batch_size=sizes.batch, epochs=1)).train_seconds
    return {"seconds_by_images": found, "line": line_through(list(found), list(found.values()))}


def cost_of_progress(images_each: int, rounds: int, sizes: Sizes) -> Record:
    """Trainings with callbacks and a check before every batch, and without, in turn; and what a check takes by itself."""
    torch.set_num_threads(1)
    images, labels = images_and_labels(images_each, sizes.image_size)
    spec, ratios = PaperRecipe(batch_size=sizes.batch, epochs=2), []
    _train(images, labels, spec)
    for _ in range(rounds):
        bare = _train(images, labels, spec).train_seconds
        told = _train(images, labels, spec, 0, Check(), on_epoch=_ignore, on_checkpoint=_ignore).train_seconds
        ratios.append(told / bare)
    check, calls = Check(), 100_000
    started = time.perf_counter()
    for _ in range(calls):
        check()
    seconds_a_check = (time.perf_counter() - started) / calls
    steps = spec.epochs * (len(images) // sizes.batch)
    return {
        "rounds": rounds,
        "overhead_pct": 100 * (statistics.median(ratios) - 1),
        "overhead_pct_of_each_round": [100 * (ratio - 1) for ratio in ratios],
        "microseconds_of_a_check": 1e6 * seconds_a_check,
        "check_share_pct": 100 * seconds_a_check * steps / bare,
    }


def _train(
    images: Any, labels: Any, spec: TrainingSpec, seed: int = 0, check: Callable[[], None] = lambda: None, **more: Any
) -> Trained:
    rounds = train_all(images, labels, spec, [seed], between_batches=check, **more)
    ((trained,),) = rounds
    assert isinstance(trained, Trained), "nothing diverges by this recipe"
    return trained


def _ignore(*_: object) -> None:
    """A callback that does nothing."""


def _remember(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _wait_for_others() -> None:
    if _barrier is not None:
        with contextlib.suppress(threading.BrokenBarrierError):  # another one failed, and will say so
            _barrier.wait(_MOST_WAITING)
