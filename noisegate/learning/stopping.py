"""When a run stops before its last epoch: judged by the loss on the holdout, whose best epoch is the one that is kept."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from noisegate.details import EarlyStopping
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.states import TrainingSet
from noisegate.spec.recipe import TrainingSpec


def note_holdout(state: TrainingState, data: TrainingSet, between_batches: Callable[[], None]) -> None:
    """Measure a run whose epoch has just ended, and keep its weights if they are the best so far; nothing without a holdout.

    A loss that is no number counts as infinite. The host waits for a GPU.
    """
    if state.best is None:
        return
    loss = _holdout_loss(state.module, data, between_batches)
    if not state.holdout_losses or loss < min(state.holdout_losses):
        _copy(state.module, state.best)
    state.holdout_losses.append(loss)


def best_epoch(holdout_losses: Sequence[float]) -> int:
    """The first one with the lowest loss, counted from 1."""
    return holdout_losses.index(min(holdout_losses)) + 1


def early_stopping(holdout_losses: Sequence[float]) -> EarlyStopping | None:
    """What is written down of these losses; None of a recipe that does not stop early."""
    if not holdout_losses:
        return None
    written = [loss if math.isfinite(loss) else None for loss in holdout_losses]
    return EarlyStopping(best_epoch=best_epoch(holdout_losses), holdout_losses=written)


def has_stopped(state: TrainingState, spec: TrainingSpec) -> bool:
    """Whether the recipe asks for no further epoch of this run. Epochs of the head alone are not waited out."""
    if spec.stops_after is None or not state.holdout_losses:
        return False
    since = max(best_epoch(state.holdout_losses), spec.epochs_of_head)
    return len(state.holdout_losses) - since >= spec.stops_after


@torch.inference_mode()
def _holdout_loss(module: nn.Module, data: TrainingSet, between_batches: Callable[[], None]) -> float:
    """The mean log loss, of the network as it answers (in evaluation mode)."""
    assert data.holdout is not None, "what stops early has a holdout"
    training, total = module.training, torch.zeros((), dtype=torch.float64, device=data.device)
    module.eval()
    for start in range(0, len(data.holdout.labels), data.spec.batch_size):
        between_batches()
        some = slice(start, start + data.spec.batch_size)
        logits, _ = module(data.preprocessing.shown(data.holdout.images[some]))
        total += functional.cross_entropy(logits.double(), data.holdout.labels[some], reduction="sum")
    module.train(training)
    loss = float(total) / len(data.holdout.labels)
    return loss if math.isfinite(loss) else math.inf


@torch.no_grad()
def _copy(source: nn.Module, target: nn.Module) -> None:
    values = source.state_dict()
    for name, place in target.state_dict().items():
        place.copy_(values[name])
