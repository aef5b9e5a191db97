"""Which weight decay a layer on features is trained with, chosen by cross-validation.

The criterion is asked of the recipe itself, not of a solver: a few thousand steps of descent hold weights back, too, so the
best decay of a solver that runs to the minimum is another one. What makes it cheap is that all candidates of a fold are
trained as one wide layer: they share first weights, images and their order, and a step costs hardly more than that of one.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.nn import functional

from noisegate.learning.folds import each_fold
from noisegate.learning.states import TrainingSet, class_weights, fresh_state
from noisegate.networks.linear.module import LinearHead
from noisegate.networks.preprocessing import Inputs, fitted
from noisegate.regularisation import Candidate, Regularisation
from noisegate.spec import TrainingSpec

# Rising. Below the first, features of photographs leave nothing to gain; above the last, nothing is learnt.
DECAYS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
# Of a log loss: in the digits after these, processors may differ, and the choice must not.
_DECIMALS = 4


def choose_weight_decay(
    features: Inputs,
    labels: Int64[np.ndarray, " n"],
    folds: Int64[np.ndarray, " n"],
    *,
    known_images: int,
    outputs: int,
    spec: TrainingSpec,
    seed: int,
    noise_weight: float = 1.0,
    between_steps: Callable[[], None] = lambda: None,
) -> Regularisation:
    """The decay with the least log loss over the known images, each answered by a layer that was not trained on its fold.

    Always on the CPU; the same arguments give the same choice.

    Args:
        features: all training images', those of the noise class after the first `known_images`.
        labels: 0 … `outputs` − 1.
        folds: the fold of each image (noisegate.learning.folds).
        spec: the recipe, of which the decay is not looked at.
        seed: of first weights and the order of images.
        noise_weight: as of `train`.
        between_steps: called before every step; its exceptions propagate.
    """
    losses = np.zeros(len(DECAYS))
    for trained, left_out in each_fold(folds, known_images):
        known = int((trained < known_images).sum())
        data = _training_set(features[trained], labels[trained], outputs, spec, known, noise_weight)
        weights, biases = train_side_by_side(data, DECAYS, seed, between_steps)
        shown = data.preprocessing(torch.from_numpy(features[left_out]))
        losses += _log_losses(shown, torch.from_numpy(labels[left_out]), weights, biases)
    return _chosen(losses / known_images, int(folds.max()) + 1)


@torch.no_grad()
def train_side_by_side(
    data: TrainingSet, decays: Sequence[float], seed: int, between_steps: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """One layer a decay, each to within rounding what `train` makes of this seed: weights [decays, outputs, width] and biases.

    The gradient of softmax regression is written out: recording it would take longer than computing it.
    """
    state, spec = fresh_state(data, seed), data.spec
    assert isinstance(state.module, LinearHead)
    one_hot = functional.one_hot(data.labels, data.outputs).to(torch.float32)
    shown, count = data.preprocessing(data.images), len(decays)
    weights = state.module.head.weight.repeat(count, 1)
    biases = state.module.head.bias.repeat(count)
    decay = torch.tensor(decays, dtype=torch.float32).repeat_interleave(data.outputs)[:, None]
    moved = [torch.zeros_like(weights), torch.zeros_like(biases)]
    updates = spec.updates_per_epoch(data.known_images if spec.equal_updates else len(data.images))
    momentum = spec.descent.momentum
    for update in range(spec.epochs * updates):
        between_steps()
        places = next(state.batches).places
        batch = shown.index_select(0, places)
        logits = torch.addmm(biases, batch, weights.T).view(len(places), count, data.outputs)
        errors = logits.softmax(dim=2) - one_hot.index_select(0, places)[:, None]
        if data.class_weights is None:
            errors = errors.flatten(1) / len(places)
        else:
            of_images = data.class_weights[data.labels.index_select(0, places)]
            errors = (errors * (of_images / of_images.sum())[:, None, None]).flatten(1)
        gradients = (torch.addmm(weights * decay, errors.T, batch), errors.sum(dim=0))
        for values, gradient, velocity in zip((weights, biases), gradients, moved, strict=True):
            velocity.mul_(momentum).add_(gradient)
            values.sub_(gradient.add_(velocity, alpha=momentum), alpha=spec.rate_at(update, updates))
    return weights.view(count, data.outputs, -1), biases.view(count, data.outputs)


def _training_set(
    features: Inputs,
    labels: Int64[np.ndarray, " n"],
    outputs: int,
    spec: TrainingSpec,
    known_images: int,
    noise_weight: float,
) -> TrainingSet:
    return TrainingSet(
        images=torch.from_numpy(features),
        labels=torch.from_numpy(labels),
        preprocessing=fitted("features", features),
        network="linear",
        outputs=outputs,
        spec=spec.model_copy(update={"weight_decay": 0.0}),  # decay is not the optimizer's here
        precision="float32",
        known_images=known_images,
        class_weights=class_weights(outputs, noise_weight),
    )


def _log_losses(shown: Tensor, labels: Tensor, weights: Tensor, biases: Tensor) -> Float64[np.ndarray, " decays"]:
    """The sum over images, of each candidate."""
    logits = torch.einsum("nw,dow->dno", shown, weights) + biases[:, None]
    of_images = logits.double().log_softmax(dim=2)[:, torch.arange(len(labels)), labels]
    sums: Float64[np.ndarray, " decays"] = -of_images.sum(dim=1).numpy()
    return sums


def _chosen(losses: Float64[np.ndarray, " decays"], folds: int) -> Regularisation:
    rounded = [round(float(loss), _DECIMALS) if math.isfinite(loss) else None for loss in losses]
    candidates = [Candidate(weight_decay=decay, log_loss=loss) for decay, loss in zip(DECAYS, rounded, strict=True)]
    # From the largest decay down, of which the first of equal ones counts.
    best = min(reversed(candidates), key=lambda one: math.inf if one.log_loss is None else one.log_loss)
    return Regularisation(weight_decay=best.weight_decay, folds=folds, candidates=candidates)
