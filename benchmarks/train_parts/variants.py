"""What else was tried: numbers of streams, no recorded graph, float32 with and without TF32, and where the time goes."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from noisegate.learning import engines
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.engines import ENGINES, Engine, EngineName, Separate, Stacked
from noisegate.learning.recipe import exact_arithmetic
from noisegate.learning.states import TrainingSet
from train_parts.bench import Bench, Record
from train_parts.ceilings import tf32_products
from train_parts.made_up import next_batches, states_of
from train_parts.step_times import best_engine, cifar_like, figures_of, release
from train_parts.timing import Build, engine_named, finish, step_seconds, step_seconds_as_it_is

_PROFILED_STEPS = 5
_TOP = 20


def streams(bench: Bench, record: Record) -> None:
    """`separate` with other numbers of streams."""
    data = cifar_like(bench)

    def one(count: int) -> Record:
        with _most_streams(count):
            return _figures(bench, engine_named("separate"), data)

    for count in bench.sizes.streams:
        bench.attempt(record, str(count), partial(one, count))


def without_graph(bench: Bench, record: Record) -> None:
    """Every engine as it is, asked for kernel by kernel."""
    data = cifar_like(bench)
    for name in ENGINES:
        bench.attempt(record, name, partial(_figures, bench, plain_engine(name), data))


def float32(bench: Bench, record: Record) -> None:
    """The best engine in float32: as the recipe has it, and with factors rounded to TF32."""
    engine, data = best_engine(bench), cifar_like(bench, precision="float32")
    record["engine"] = engine
    bench.attempt(record, "exact", lambda: _figures(bench, engine_named(engine), data))
    release(bench)

    def rounded() -> Record:
        with (
            tf32_products(True),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True),
        ):
            seconds = step_seconds_as_it_is(engine_named(engine), data, bench.sizes.most, bench.sizes)
        return dict(figures_of(seconds, bench.sizes.most, bench.sizes.batch))

    bench.attempt(record, "tf32", rounded)


def kernels(bench: Bench, record: Record) -> None:
    """The kernels that take most of a step of the best engine, with the share of each, as PyTorch's profiler saw them."""
    engine_name, data = best_engine(bench), cifar_like(bench)
    release(bench)
    states = states_of(data, bench.sizes.most)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if bench.on_gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with exact_arithmetic():
        engine = plain_engine(engine_name)(data, states)
        engine.set_learning_rate(data.spec.rate_at(0, 1))
        for _ in range(bench.sizes.warm_up):
            engine.step(next_batches(states))
        finish(bench.device)
        with torch.profiler.profile(activities=activities) as profiler:
            for _ in range(_PROFILED_STEPS):
                engine.step(next_batches(states))
            finish(bench.device)
    record["engine"] = engine_name
    record |= _shares(profiler, on_gpu=bench.on_gpu)


def plain_engine(name: EngineName) -> Build:
    """The engine without the graph that training records of it."""

    def build(data: TrainingSet, states: Sequence[TrainingState]) -> Engine:
        return Separate(data, states) if name == "separate" else Stacked(data, states, name)

    return build


def _figures(bench: Bench, build: Build, data: TrainingSet) -> Record:
    release(bench)
    seconds = step_seconds(build, data, bench.sizes.most, bench.sizes)
    return dict(figures_of(seconds, bench.sizes.most, bench.sizes.batch))


@contextlib.contextmanager
def _most_streams(count: int) -> Iterator[None]:
    before = engines._MOST_STREAMS
    engines._MOST_STREAMS = count
    try:
        yield
    finally:
        engines._MOST_STREAMS = before


def _shares(profiler: torch.profiler.profile, *, on_gpu: bool) -> Record:
    kind = "CUDA" if on_gpu else "CPU"
    time_of = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    found = [
        (event.key, float(getattr(event, time_of)), int(event.count))
        for event in profiler.key_averages()
        # Ranges that PyTorch names itself lie over the kernels in them, and would count these twice.
        if event.device_type.name == kind and not event.is_user_annotation
    ]
    found.sort(key=lambda one: one[1], reverse=True)
    total = sum(microseconds for _, microseconds, _ in found)
    top = [
        {
            "kernel": name[:160],
            "share_pct": 100 * microseconds / total,
            "ms_per_step": microseconds / 1000 / _PROFILED_STEPS,
            "calls_per_step": calls / _PROFILED_STEPS,
        }
        for name, microseconds, calls in found[:_TOP]
    ]
    return {"ms_per_step": total / 1000 / _PROFILED_STEPS, "different": len(found), "top": top}
