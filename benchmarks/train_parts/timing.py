"""How long a step of an engine takes, and lines through what was measured."""

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.engines import Engine, EngineName, build_engine
from noisegate.learning.recipe import exact_arithmetic
from noisegate.learning.states import TrainingSet
from train_parts.made_up import next_batches, states_of
from train_parts.sizes import Sizes

Build = Callable[[TrainingSet, Sequence[TrainingState]], Engine]


def finish(device: torch.device) -> None:
    """Wait for what a GPU was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def engine_named(name: EngineName) -> Build:
    """As training builds it."""
    return lambda data, states: build_engine(name, data, states)


def step_seconds(build: Build, data: TrainingSet, executions: int, sizes: Sizes) -> float:
    """Seconds of a step of all, fresh batches included, in the arithmetic of training."""
    with exact_arithmetic():
        return step_seconds_as_it_is(build, data, executions, sizes)


def step_seconds_as_it_is(build: Build, data: TrainingSet, executions: int, sizes: Sizes) -> float:
    """The same in whatever arithmetic is set; the median of several timings."""
    states = states_of(data, executions)
    engine = build(data, states)
    engine.set_learning_rate(data.spec.rate_at(0, 1))

    def step() -> None:
        engine.step(next_batches(states))

    return median_seconds(step, data.device, sizes)


def median_seconds(call: Callable[[], object], device: torch.device, sizes: Sizes) -> float:
    """Seconds of a call: the median of timings of at least `sizes.seconds` each, after a warm-up.

    One that takes more than a second is timed no more than twice.
    """
    _seconds(call, device, sizes.warm_up)
    once = _seconds(call, device, 2) / 2
    calls = max(1, round(1.1 * sizes.seconds / once))
    timings = sizes.timings if once < 1 else min(2, sizes.timings)
    return statistics.median(_seconds(call, device, calls) / calls for _ in range(timings))


def _seconds(call: Callable[[], object], device: torch.device, calls: int) -> float:
    finish(device)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    finish(device)
    return time.perf_counter() - started


def line_through(across: Sequence[float], up: Sequence[float]) -> dict[str, float]:
    """The straight line of least squares: its slope, where it begins, and r², the share of the variance it explains."""
    slope, start = np.polyfit(across, up, 1)
    left = np.asarray(up) - (slope * np.asarray(across) + start)
    total = np.asarray(up) - np.mean(up)
    r2 = 1 - float(left @ left) / float(total @ total)
    return {"slope": float(slope), "intercept": float(start), "r2": round(r2, 5)}
