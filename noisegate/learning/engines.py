"""Engines: what advances the executions that train together, by one batch at a time.

`Separate` runs each network by itself, `Stacked` all of them as one (noisegate.learning.stacking). On a GPU either is
recorded once as a CUDA graph and replayed: the host would otherwise need longer to ask for the small kernels of such a
network than the GPU to run them.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.recipe import dtype_of, make_optimizer, normalised, set_learning_rate
from noisegate.learning.stacking import FORMS, Form
from noisegate.learning.states import TrainingSet
from noisegate.networks.paper import NETWORKS

EngineName = Literal["separate"] | Form
ENGINES: tuple[EngineName, ...] = ("separate", *FORMS)

# Networks whose kernels a GPU may run side by side; more would only wait for each other.
_MOST_STREAMS = 16
# Steps before a recording: libraries choose their algorithms and allocate what they keep in the first ones.
_STEPS_BEFORE_RECORDING = 3


class Engine(ABC):
    """Trains the executions whose states it was given; they follow, at any time."""

    @abstractmethod
    def set_learning_rate(self, rate: float) -> None:
        """For the steps that come."""

    @abstractmethod
    def step(self, batches: Int64[Tensor, "executions batch"]) -> None:
        """One update of each network with its own batch, named by places in the training set. The host does not wait."""

    @abstractmethod
    def take_losses(self) -> Float32[Tensor, " executions"]:
        """The sum of each one's batch losses since this was last asked; still on the device."""


def build_engine(name: EngineName, data: TrainingSet, states: Sequence[TrainingState]) -> Engine:
    """The engine for these executions, which stand at the same epoch."""
    engine: Engine = Separate(data, states) if name == "separate" else Stacked(data, states, name)
    return Recorded(engine, data.device) if data.device.type == "cuda" else engine


class Separate(Engine):
    """Each network by itself, as if it were alone; on a GPU their kernels run side by side."""

    def __init__(self, data: TrainingSet, states: Sequence[TrainingState]) -> None:
        self._data = data
        self._states = states
        self._losses = torch.zeros(len(states), device=data.device)
        streams = min(len(states), _MOST_STREAMS) if data.device.type == "cuda" else 0
        self._streams = [_stream(data.device, number) for number in range(streams)]

    def set_learning_rate(self, rate: float) -> None:
        for state in self._states:
            set_learning_rate(state.optimizer, rate)

    def step(self, batches: Int64[Tensor, "executions batch"]) -> None:
        self._fork()
        try:
            for number, (state, batch) in enumerate(zip(self._states, batches, strict=True)):
                with self._beside(number):
                    self._losses[number].add_(self._update(state, batch))
        finally:
            self._join()  # or a recording that failed for want of memory would end with another error

    def take_losses(self) -> Float32[Tensor, " executions"]:
        taken = self._losses.clone()
        self._losses.zero_()
        return taken

    def _update(self, state: TrainingState, batch: Int64[Tensor, " batch"]) -> Float32[Tensor, ""]:
        data = self._data
        # NHWC seen as NCHW is what PyTorch calls channels_last: the fast layout, without moving a byte.
        shown = normalised(data.images.index_select(0, batch), data.mean).permute(0, 3, 1, 2)
        # A cache of cast weights would outlive a recording; each weight is used once a step anyway.
        bfloat16 = data.precision == "bfloat16"
        with torch.autocast(data.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            logits, _ = state.module(shown)
        loss = functional.cross_entropy(logits.float(), data.labels.index_select(0, batch))
        _descend(state.optimizer, list(state.module.parameters()), loss)
        return loss.detach()

    def _fork(self) -> None:
        for stream in self._streams:
            stream.wait_stream(torch.cuda.current_stream(self._data.device))

    def _beside(self, number: int) -> contextlib.AbstractContextManager[object]:
        if not self._streams:
            return contextlib.nullcontext()
        return torch.cuda.stream(self._streams[number % len(self._streams)])

    def _join(self) -> None:
        for stream in self._streams:
            torch.cuda.current_stream(self._data.device).wait_stream(stream)


class Stacked(Engine):
    """All networks as one. The states' parameters and momenta become views of the stacked ones, and so follow."""

    def __init__(self, data: TrainingSet, states: Sequence[TrainingState], form: Form) -> None:
        self._data = data
        self._forward = FORMS[form]
        with torch.device("meta"):
            self._network = NETWORKS[data.network](data.image_size, data.outputs)
        self._losses = torch.zeros(len(states), device=data.device)
        self._parameters = _stacked_parameters(states)
        own = dict(self._network.named_parameters())
        self._optimizer = make_optimizer(
            [stacked for name, stacked in self._parameters.items() if own[name].ndim > 1],
            [stacked for name, stacked in self._parameters.items() if own[name].ndim == 1],
            data.spec,
        )
        if data.spec.momentum:
            _share_momenta(states, self._parameters, self._optimizer)

    def set_learning_rate(self, rate: float) -> None:
        set_learning_rate(self._optimizer, rate)

    def step(self, batches: Int64[Tensor, "executions batch"]) -> None:
        data, dtype, places = self._data, dtype_of(self._data.precision), batches.flatten()
        shown = (
            normalised(data.images.index_select(0, places), data.mean).to(dtype).view(*batches.shape, *data.mean.shape)
        )
        weights = {name: parameter.to(dtype) for name, parameter in self._parameters.items()}
        logits = self._forward(self._network, weights, shown).float().flatten(0, 1)
        losses = functional.cross_entropy(logits, data.labels.index_select(0, places), reduction="none")
        of_each = losses.view(batches.shape).mean(dim=1)
        # The gradient of the sum holds each network's own, even where another's loss is no number.
        _descend(self._optimizer, list(self._parameters.values()), of_each.sum())
        self._losses += of_each.detach()

    def take_losses(self) -> Float32[Tensor, " executions"]:
        taken = self._losses.clone()
        self._losses.zero_()
        return taken


class Recorded(Engine):
    """Another engine's step as a CUDA graph: recorded after a few steps, and anew when the learning rate changes."""

    def __init__(self, engine: Engine, device: torch.device) -> None:
        self._engine = engine
        self._device = device
        self._side = _stream(device, _MOST_STREAMS)
        self._steps = 0
        self._rate: float | None = None
        self._batches: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def set_learning_rate(self, rate: float) -> None:
        if rate != self._rate:  # it is a constant of the recorded kernels
            self._graph = None
        self._rate = rate
        self._engine.set_learning_rate(rate)

    def step(self, batches: Int64[Tensor, "executions batch"]) -> None:
        if self._batches is None:
            self._batches = torch.empty_like(batches)
        self._batches.copy_(batches)
        self._steps += 1
        if self._steps <= _STEPS_BEFORE_RECORDING:
            self._step_aside(self._batches)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._side):  # records and does not run
                self._engine.step(self._batches)
        self._graph.replay()

    def take_losses(self) -> Float32[Tensor, " executions"]:
        return self._engine.take_losses()

    def _step_aside(self, batches: Tensor) -> None:
        """On the stream that records later: what libraries allocate for a stream is there by then."""
        self._side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            self._engine.step(batches)
        torch.cuda.current_stream(self._device).wait_stream(self._side)


@cache
def _stream(device: torch.device, _number: int) -> torch.cuda.Stream:
    """The same ones for every engine: cuBLAS keeps tens of MiB for each stream that it was ever called on."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


def _descend(optimizer: torch.optim.SGD, parameters: Sequence[nn.Parameter], loss: Tensor) -> None:
    # Not loss.backward(): it would add gradients up where earlier ones lie, on the stream that they were made on.
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
    # Kept, they would hold on to the memory of a recording that is made anew, and go along with trained networks.
    optimizer.zero_grad()


def _stacked_parameters(states: Sequence[TrainingState]) -> dict[str, nn.Parameter]:
    named = [dict(state.module.named_parameters()) for state in states]
    stacked = {name: nn.Parameter(torch.stack([one[name].detach() for one in named])) for name in named[0]}
    for number, own in enumerate(named):
        for name, parameter in own.items():
            parameter.data = stacked[name].data[number]
    return stacked


def _share_momenta(
    states: Sequence[TrainingState], stacked: Mapping[str, nn.Parameter], optimizer: torch.optim.SGD
) -> None:
    named = [dict(state.module.named_parameters()) for state in states]
    for name, parameter in stacked.items():
        # One that has not been updated yet has no momentum: the first update makes it what it is from zeros, too.
        found = [
            state.optimizer.state[own[name]].get("momentum_buffer") for state, own in zip(states, named, strict=True)
        ]
        momenta = torch.stack(
            [
                torch.zeros_like(one) if momentum is None else momentum
                for one, momentum in zip(parameter, found, strict=True)
            ]
        )
        optimizer.state[parameter]["momentum_buffer"] = momenta
        for number, (state, own) in enumerate(zip(states, named, strict=True)):
            state.optimizer.state[own[name]]["momentum_buffer"] = momenta[number]
