"""One step of a linear layer with its gradient written out: recording it takes three times as long as computing it.

The same operations in the same order as autograd and `torch.optim.SGD` carry out, so the same numbers. For layers on a CPU; on a
GPU steps are recorded as a whole.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional

from noisegate.learning.checkpoints import TrainingState
from noisegate.networks.linear.module import LinearHead


class Descended(NamedTuple):
    """What a step found before it moved: the mean loss of its batch, and the logarithms of the probabilities."""

    loss: Float32[Tensor, ""]
    logits: Float32[Tensor, "batch outputs"]


def is_written_out(state: TrainingState, smoothing: float) -> bool:
    """Whether `descend` trains this run: a linear layer alone, by SGD, on plain labels, on the CPU."""
    return (
        isinstance(state.module, LinearHead)
        and isinstance(state.optimizer, torch.optim.SGD)
        and state.module.head.weight.device.type == "cpu"
        and state.average is None
        and smoothing == 0
    )


@torch.no_grad()
def descend(
    state: TrainingState,
    shown: Float32[Tensor, "batch width"],
    labels: Int64[Tensor, " batch"],
    class_weights: Float32[Tensor, " outputs"] | None,
) -> Descended:
    """Update a run for which `is_written_out` holds with one batch; what the batch came to before.

    Args:
        class_weights: what an image of each class counts in that mean; None where all count alike.
    """
    assert isinstance(state.module, LinearHead)
    head = state.module.head
    weights = shown.new_ones(len(labels)) if class_weights is None else class_weights.index_select(0, labels)
    shares = (weights / weights.sum())[:, None]
    logarithms = functional.linear(shown, head.weight, head.bias).log_softmax(dim=1)
    loss = functional.nll_loss(logarithms, labels, class_weights)
    errors = logarithms.exp().mul_(shares)
    errors.scatter_add_(1, labels[:, None], -shares)
    _move(state.optimizer, {head.weight: errors.T @ shown, head.bias: errors.sum(dim=0)})
    return Descended(loss, logarithms)


def _move(optimizer: torch.optim.Optimizer, gradients: dict[Tensor, Tensor]) -> None:
    """A step of SGD with Nesterov's momentum, or with none; `gradients` are used up."""
    for group in optimizer.param_groups:
        momentum, rate, decay = group["momentum"], group["lr"], group["weight_decay"]
        for parameter in group["params"]:
            gradient = gradients[parameter]
            if decay:
                gradient.add_(parameter, alpha=decay)
            if momentum:
                gradient = _with_momentum(optimizer.state[parameter], gradient, momentum, nesterov=group["nesterov"])
            parameter.sub_(gradient, alpha=rate)


def _with_momentum(kept: dict[str, Tensor], gradient: Tensor, momentum: float, *, nesterov: bool) -> Tensor:
    velocity = kept.get("momentum_buffer")
    if velocity is None:
        velocity = kept["momentum_buffer"] = gradient.clone()
    else:
        velocity.mul_(momentum).add_(gradient)
    return gradient.add_(velocity, alpha=momentum) if nesterov else velocity
