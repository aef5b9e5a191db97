"""Training: many executions of one cell, one visible loop.

How the recipe's numbers are made is told in `recipe`, how many networks take a step together in `engines`.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import structlog
import torch
from jaxtyping import Int64
from torch import nn

from noisegate.learning.batches import Batch
from noisegate.learning.checkpoints import TrainingState, UnusableCheckpoint, restore, write_checkpoint
from noisegate.learning.choosing import choose_engine
from noisegate.learning.engines import Engine, EngineName, build_engine
from noisegate.learning.recipe import Precision, exact_arithmetic, on_device
from noisegate.learning.recording import Recorder, SampleRecord, early_epoch, recorded_epochs
from noisegate.learning.states import Beside, TrainingSet, fresh_state, make_training_set, release
from noisegate.learning.stopping import has_stopped, note_holdout
from noisegate.networks.preprocessing import Inputs, Preprocessing
from noisegate.spec.recipe import TrainingSpec

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Progress:
    """Where an execution stands after an epoch. `epoch` counts from 1; `losses` are the mean of each epoch so far, and
    `holdout_losses` those on the holdout, of a recipe that stops early.

    `images_per_second` is its own: those that are trained with it have as many again. `images` and `seconds` are the epoch's;
    its time is also that of those trained with it.
    """

    seed: int
    epoch: int
    epochs: int
    losses: tuple[float, ...]
    holdout_losses: tuple[float, ...]
    images_per_second: float
    images: int
    seconds: float

    @property
    def loss(self) -> float:
        """Of this epoch."""
        return self.losses[-1]


# Called with an execution's progress and with what gives its checkpoint. That takes a copy of the whole network, so the
# callee decides whether one is due; once it has returned, the checkpoint can no longer be had.
OnCheckpoint = Callable[[Progress, Callable[[], bytes]], None]


# Images to the features that a backbone computes of them; called with images, and with what is to be called between batches.
EncodeImages = Callable[[np.ndarray, Callable[[], None]], np.ndarray]


@dataclass(frozen=True)
class Trained:
    """One trained network: on the CPU, float32, in evaluation mode; `preprocessing` is what it was shown images by.

    `train_seconds` are those of the clock, however many were trained at once. `encoder` is what computed the features that it
    was trained on; None where it was shown images. `holdout_losses` are those of the epochs, where the best one's weights are kept.
    `record` is what it said of each training image while it was trained; None unless that was asked for.
    """

    seed: int
    module: nn.Module
    preprocessing: Preprocessing
    losses: tuple[float, ...]
    train_seconds: float
    images_per_second: float
    precision: Precision
    device: str
    engine: EngineName
    encoder: EncodeImages | None = None
    holdout_losses: tuple[float, ...] = ()
    record: SampleRecord | None = None


@dataclass(frozen=True)
class Diverged:
    """An execution whose loss, or whose logits after training, were no longer finite. `epoch` counts from 1."""

    seed: int
    epoch: int


@dataclass(frozen=True)
class Together:
    """How many executions take their steps together, at most, and by which engine; None is the device's fastest.

    A CPU's caches are best used by one execution at a time.
    """

    most: int = 1
    engine: EngineName | None = None


ALONE = Together()


@dataclass(frozen=True)
class _Task:
    """What all executions of a cell share."""

    data: TrainingSet
    engine: EngineName
    updates_per_epoch: int
    resume: Mapping[int, bytes]
    between_batches: Callable[[], None]
    on_epoch: Callable[[Progress], None]
    on_checkpoint: OnCheckpoint


def train(
    images: Inputs,
    labels: Int64[np.ndarray, " n"],
    *,
    network: str,
    outputs: int,
    spec: TrainingSpec,
    seeds: Sequence[int],
    known_images: int,
    between_batches: Callable[[], None],
    on_epoch: Callable[[Progress], None],
    beside: Beside | None = None,
    noise_weight: float = 1.0,
    record_samples: bool = False,
    device: str = "cpu",
    together: Together = ALONE,
    resume: Mapping[int, bytes] = MappingProxyType({}),
    on_checkpoint: OnCheckpoint = lambda *_: None,
) -> Iterator[list[Trained | Diverged]]:
    """Train one network a seed; yields what came of those that were trained together, as soon as they have ended.

    A seed decides initial weights and the order of images, and nothing else does. By themselves (engine `separate`) seeds
    trained together or apart give the same networks: on a CPU with one thread the same bytes; on a GPU max-pooling's
    gradient adds up in no fixed order, so last digits may differ. Stacked engines add in an order of their own, and agree
    to within rounding, alone or among many.

    Args:
        images: all training images, those of the noise class included, 0 … 255; or the features of them.
        labels: 0 … `outputs` − 1.
        network: what `architecture` takes; `linear` for features.
        known_images: how many of `images` are not noise; what `spec.equal_updates` counts.
        seeds: each once; results stand in their order, but for those that go on from a checkpoint of another epoch.
        between_batches: called before every step. Whatever it raises stops training and passes through.
        on_epoch: called after every epoch of every execution. Within an epoch nothing waits for a GPU.
        beside: what the recipe needs of it.
        noise_weight: how much an image of the last output counts in the loss, one of the others counting 1.
        record_samples: whether to keep what runs say of each image in every epoch.
        device: "cpu", "cuda" or "cuda:1".
        together: fewer are trained at once where a GPU's memory does not suffice.
        resume: the last checkpoint of a seed, made with the same arguments but perhaps other `epochs`. The execution goes
            on from there, and where the same seed gives the same bytes it ends as one never interrupted. A checkpoint
            that cannot be used is logged, and the execution starts anew.
        on_checkpoint: called after every epoch but an execution's last, just after `on_epoch`.
    """
    assert len(images) == len(labels) > 0
    assert 0 < known_images <= len(images)
    assert len(set(seeds)) == len(seeds)
    data = make_training_set(
        images,
        labels,
        network,
        outputs,
        spec,
        torch.device(device),
        known_images,
        beside,
        noise_weight,
        records=record_samples,
    )
    updates = spec.updates_per_epoch(known_images if spec.equal_updates else len(images))
    waiting, most = list(seeds), together.most
    while waiting:
        engine = together.engine or choose_engine(data, min(most, len(waiting)))
        task = _Task(data, engine, updates, resume, between_batches, on_epoch, on_checkpoint)
        ended = _train_if_there_is_room(task, waiting[:most])
        if ended:
            waiting = waiting[most:]
            yield ended
        else:
            most = min(most, len(waiting)) // 2
            log.warning("out_of_gpu_memory", executions_at_once=most)
            torch.cuda.empty_cache()


def _train_if_there_is_room(task: _Task, seeds: Sequence[int]) -> list[Trained | Diverged] | None:
    """None if memory ends, unless it is not even enough for one; what was held is free again once this has returned."""
    try:
        return _train_together(task, seeds)
    except torch.OutOfMemoryError:
        if len(seeds) == 1:
            raise
        return None


def _train_together(task: _Task, seeds: Sequence[int]) -> list[Trained | Diverged]:
    """Those that stand at the same epoch take their steps together."""
    states = [_start(task, seed) for seed in seeds]
    with exact_arithmetic(), on_device(task.data.device):
        level = itertools.groupby(sorted(states, key=_standing), key=_standing)
        return [result for _, alike in level for result in _execute(task, list(alike))]


def _execute(task: _Task, states: Sequence[TrainingState]) -> list[Trained | Diverged]:
    spec, ended = task.data.spec, dict[int, Trained | Diverged]()
    running, engine = list(states), None

    for epoch in range(len(states[0].losses) + 1, spec.epochs + 1):
        if engine is None or epoch == spec.epochs_of_head + 1:
            engine = _engine(task, running, epoch)
        seconds = _run_epoch(task, engine, running, epoch)
        ended |= {state.seed: Diverged(state.seed, epoch) for state in running if not math.isfinite(state.losses[-1])}
        for state in running:
            if state.seed not in ended:
                _tell(task, state, seconds)
        ended |= {one.seed: _trained(task, one) for one in running if one.seed not in ended and not _goes_on(task, one)}
        if any(state.seed in ended for state in running):
            running, engine = [state for state in running if state.seed not in ended], None
        if not running:
            break

    return [ended[state.seed] for state in states]


def _engine(task: _Task, states: Sequence[TrainingState], epoch: int) -> Engine:
    """Built anew when a run has left, and when more layers learn than before: what it has recorded would be another step."""
    for state in states:
        release(state.module, head_alone=epoch <= task.data.spec.epochs_of_head)
    return build_engine(task.engine, task.data, states)


def _goes_on(task: _Task, state: TrainingState) -> bool:
    return len(state.losses) < task.data.spec.epochs and not has_stopped(state, task.data.spec)


def _run_epoch(task: _Task, engine: Engine, states: Sequence[TrainingState], epoch: int) -> float:
    """Returns seconds elapsed."""
    started, updates, spec = time.perf_counter(), task.updates_per_epoch, task.data.spec
    recorder = _recorder(task, states, epoch)
    for update in range((epoch - 1) * updates, epoch * updates):
        task.between_batches()
        engine.set_learning_rate(spec.rate_at(update, updates))
        batch = Batch.stacked([next(state.batches) for state in states])
        engine.step(batch)
        if recorder:
            # They stand at the same epoch, and so begin their passes together.
            recorder.note(batch.places, engine.logits, new_pass=states[0].batches.begins_pass)
    totals = engine.take_losses().tolist()  # here the host waits for a GPU, and nowhere before in an epoch
    if recorder:
        recorder.finish(early=epoch == early_epoch(spec))
    for state, total in zip(states, totals, strict=True):
        state.losses.append(total / updates)
        note_holdout(state, task.data, task.between_batches)
    seconds = time.perf_counter() - started
    for state in states:
        state.images_seen += updates * state.batches.size
        state.train_seconds += seconds
    return seconds


def _recorder(task: _Task, states: Sequence[TrainingState], epoch: int) -> Recorder | None:
    records = [state.record for state in states if state.record is not None]
    told = bool(records) and epoch in recorded_epochs(task.data.spec)
    return Recorder(records, task.data.labels) if told else None


def _tell(task: _Task, state: TrainingState, seconds: float) -> None:
    epoch, epochs = len(state.losses), task.data.spec.epochs
    speed = state.images_seen / state.train_seconds
    progress = Progress(
        seed=state.seed,
        epoch=epoch,
        epochs=epochs,
        losses=tuple(state.losses),
        holdout_losses=tuple(state.holdout_losses),
        images_per_second=speed,
        images=task.updates_per_epoch * state.batches.size,
        seconds=seconds,
    )
    task.on_epoch(progress)
    if _goes_on(task, state):
        task.on_checkpoint(progress, partial(write_checkpoint, state))


def _trained(task: _Task, state: TrainingState) -> Trained:
    kept = next(one for one in (state.best, state.average, state.module) if one is not None)
    module = kept.to("cpu").eval()
    for parameter in module.parameters():  # copied: in a stack they are views, and would keep all of it
        parameter.data = parameter.detach().clone(memory_format=torch.contiguous_format)
    return Trained(
        seed=state.seed,
        module=module,
        preprocessing=task.data.preprocessing.to("cpu"),
        losses=tuple(state.losses),
        train_seconds=state.train_seconds,
        images_per_second=state.images_seen / state.train_seconds,
        precision=task.data.precision,
        device=str(task.data.device),
        engine=task.engine,
        holdout_losses=tuple(state.holdout_losses),
        record=state.record,
    )


def _start(task: _Task, seed: int) -> TrainingState:
    """An execution before its first batch, or where its checkpoint left it."""
    state = fresh_state(task.data, seed)
    if (checkpoint := task.resume.get(seed)) is not None:
        try:
            spec = task.data.spec
            restore(state, checkpoint, epochs=spec.epochs, recorded=recorded_epochs(spec))
        except UnusableCheckpoint as error:
            log.warning("checkpoint_ignored", seed=seed, reason=str(error))
    return state


def _standing(state: TrainingState) -> int:
    return len(state.losses)
