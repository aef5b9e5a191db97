"""`train` itself, as a worker calls it: alone or among many, what telling progress costs, and how epochs grow with images."""

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from noisegate.learning.engines import ENGINES, EngineName, build_engine
from noisegate.learning.recipe import exact_arithmetic
from noisegate.learning.training import Progress, Together, Trained
from noisegate.spec import PaperRecipe, TrainingSpec
from train_parts.bench import Bench, Record
from train_parts.made_up import (
    Images,
    Labels,
    images_and_labels,
    next_batches,
    states_of,
    train_all,
    training_set,
)
from train_parts.step_times import best_engine, cifar_like, release
from train_parts.timing import engine_named, finish, line_through, step_seconds

_LIVELY: dict[str, Any] = {"first_layer_std": 0.1, "learning_rate": 0.002}


class Check:
    """Asks before every batch what a worker's heartbeat asks, and is never told to stop."""

    def __init__(self) -> None:
        self._draining = threading.Event()
        self._cancelled = False
        self._held = {"held"}
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self._draining.is_set() or self._cancelled or not self._held:
            raise KeyboardInterrupt


def alone_or_among(bench: Bench, record: Record) -> None:
    """For each engine: seed 0 trained alone and among the most, one epoch; how far its loss and its weights lie apart.

    Weights that are larger from the start than the recipe's let something be learnt in so few updates.
    """
    sizes = bench.sizes
    images, labels = images_and_labels(sizes.compared_images, sizes.image_size)
    spec = PaperRecipe(epochs=1, batch_size=sizes.batch, learning_rate_drop=None, **_LIVELY)
    record |= {"updates": spec.updates_per_epoch(len(images)), "among": sizes.most}

    def compare(engine: EngineName) -> Record:
        release(bench)
        among = _first(bench, images, labels, spec, engine, range(sizes.most))
        alone = _first(bench, images, labels, spec, engine, range(1))
        losses = zip(alone.losses, among.losses, strict=True)
        return {
            "loss_alone": alone.losses[-1],
            "loss_relative_difference": max(abs(one - other) / abs(one) for one, other in losses),
            "weights_relative_difference": _apart(alone, among),
        }

    for engine in ENGINES:
        bench.attempt(record, engine, partial(compare, engine))


def loop(bench: Bench, record: Record) -> None:
    """Two epochs of the most at once against as many bare steps. The first epoch also records and loads libraries."""
    sizes = bench.sizes
    data = cifar_like(bench)
    bare = step_seconds(engine_named(best_engine(bench)), data, sizes.most, sizes)
    del data
    release(bench)
    images, labels = images_and_labels(sizes.images, sizes.image_size)
    spec = PaperRecipe(epochs=2, batch_size=sizes.batch)
    ends: list[float] = []
    heard: list[Progress] = []

    def on_epoch(progress: Progress) -> None:
        heard.append(progress)
        if progress.epoch > len(ends):  # the first of this epoch
            ends.append(time.perf_counter())

    check, started = Check(), time.perf_counter()
    rounds = train_all(
        images,
        labels,
        spec,
        range(sizes.most),
        between_batches=check,
        on_epoch=on_epoch,
        device=str(bench.device),
        together=Together(sizes.most, best_engine(bench)),
    )
    updates = spec.updates_per_epoch(sizes.images)
    record |= {
        "engine": best_engine(bench),
        "executions_at_once": [len(one) for one in rounds],
        "checks": check.calls,
        "progress_calls": len(heard),
        "bare_epoch_seconds": bare * updates,
        "first_epoch_seconds": ends[0] - started,
        "second_epoch_seconds": ends[1] - ends[0],
        "overhead_pct": 100 * ((ends[1] - ends[0]) / (bare * updates) - 1),
    }


def epochs(bench: Bench, record: Record) -> None:
    """Seconds of an epoch, the drawing of its orders included, by images; and by executions at once, from the step times."""
    sizes, engine = bench.sizes, best_engine(bench)
    record |= {"engine": engine, "executions": sizes.epoch_executions, "seconds_by_images": {}}
    found: dict[int, float] = {}
    for count in sizes.epoch_images:
        if bench.left() < 10 + 5 * found.get(count // 2, 0):
            record["cut_short"] = f"no time left for {count} images"
            break
        upload, found[count] = _epoch_seconds(bench, engine, count)
        record["seconds_by_images"][count] = {"upload": upload, "epoch": found[count]}
    if len(found) > 2:
        record["line_by_images"] = line_through(list(found), list(found.values()))
    rows = bench.results.get("steps", {})
    updates = sizes.images // sizes.batch
    counts = [count for count in sizes.counts if "ms_per_step" in rows.get(str(count), {}).get(engine, {})]
    by_count = {count: rows[str(count)][engine]["ms_per_step"] / 1000 * updates for count in counts}
    record["seconds_by_executions"] = by_count
    if len(by_count) > 2:
        record["line_by_executions"] = line_through(list(by_count), list(by_count.values()))


def _epoch_seconds(bench: Bench, engine_name: EngineName, count: int) -> tuple[float, float]:
    """Seconds that images take to the device (their mean included), and those of an epoch."""
    release(bench)
    images, labels = images_and_labels(count, bench.sizes.image_size)
    started = time.perf_counter()
    data = training_set(images, labels, bench.device, batch=bench.sizes.batch)
    finish(bench.device)
    upload = time.perf_counter() - started
    with exact_arithmetic():
        step_states = states_of(data, bench.sizes.epoch_executions)
        engine = build_engine(engine_name, data, step_states)
        engine.set_learning_rate(data.spec.rate_at(0, 1))
        for _ in range(bench.sizes.warm_up):
            engine.step(next_batches(step_states))
        for state in step_states:
            state.batches.position = count  # so that the epoch begins with an order of its own
        finish(bench.device)
        started = time.perf_counter()
        for _ in range(data.spec.updates_per_epoch(count)):
            engine.step(next_batches(step_states))
        finish(bench.device)
    return upload, time.perf_counter() - started


def _first(
    bench: Bench, images: Images, labels: Labels, spec: TrainingSpec, engine: EngineName, seeds: Sequence[int]
) -> Trained:
    together, device = Together(len(seeds), engine), str(bench.device)
    first = train_all(images, labels, spec, seeds, between_batches=Check(), device=device, together=together)[0][0]
    assert isinstance(first, Trained), "nothing diverges by this recipe"
    return first


def _apart(one: Trained, other: Trained) -> float:
    ones, others = (
        torch.cat([parameter.detach().flatten() for parameter in trained.module.parameters()])
        for trained in (one, other)
    )
    return float((ones - others).norm() / ones.norm())
