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
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from noisegate.learning.augmentation import changed, flipped_as_drawn
from noisegate.learning.batches import Batch
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.recipe import dtype_of, make_optimizer, set_learning_rate
from noisegate.learning.softmax_regression import Descended, descend, is_written_out
from noisegate.learning.stacking import FORMS, Form
from noisegate.learning.states import TrainingSet
from noisegate.networks.building import architecture
from noisegate.networks.preprocessing import InputTensor
from noisegate.spec.recipe import TrainingSpec

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
    def step(self, batch: Batch) -> None:
        """One update of each network with its own batch, named by places in the training set. The host does not wait."""

    @abstractmethod
    def take_losses(self) -> Float32[Tensor, " executions"]:
        """The sum of each one's batch losses since this was last asked; still on the device."""

    @property
    @abstractmethod
    def logits(self) -> Float[Tensor, "executions batch outputs"]:
        """What the executions said of the batches of the last step, before it; to be asked where the training set `records`."""


def engines_for(network: str, spec: TrainingSpec, *, image_size: int) -> tuple[EngineName, ...]:
    """The engines that compute this network with this recipe right; `separate` always does, and comes first."""
    stacked = architecture(network, image_size=image_size, outputs=2).stacked_forms if spec.stacks else ()
    return ("separate", *(form for form in FORMS if form in stacked))


def build_engine(name: EngineName, data: TrainingSet, states: Sequence[TrainingState]) -> Engine:
    """The engine for these executions, which stand at the same epoch."""
    engine: Engine = Separate(data, states) if name == "separate" else Stacked(data, states, name)
    return Recorded(engine, data.device) if data.device.type == "cuda" else engine


class Separate(Engine):
    """Each network by itself, as if it were alone; on a GPU their kernels run side by side. Any network, any recipe."""

    def __init__(self, data: TrainingSet, states: Sequence[TrainingState]) -> None:
        self._data = data
        self._states = states
        self._losses = torch.zeros(len(states), device=data.device)
        self._logits: dict[int, Tensor] = {}
        streams = min(len(states), _MOST_STREAMS) if data.device.type == "cuda" else 0
        self._streams = [_stream(data.device, number) for number in range(streams)]

    def set_learning_rate(self, rate: float) -> None:
        for state in self._states:
            set_learning_rate(state.optimizer, rate)

    def step(self, batch: Batch) -> None:
        self._fork()
        try:
            for number, (state, places, draws) in enumerate(zip(self._states, batch.places, batch.draws, strict=True)):
                with self._beside(number):
                    loss, logits = self._update(state, places, draws)
                    self._losses[number].add_(loss)
                if self._data.records:
                    self._logits[number] = logits
        finally:
            self._join()  # or a recording that failed for want of memory would end with another error

    def take_losses(self) -> Float32[Tensor, " executions"]:
        taken = self._losses.clone()
        self._losses.zero_()
        return taken

    @property
    def logits(self) -> Float[Tensor, "executions batch outputs"]:
        if len(self._logits) == 1:
            return self._logits[0][None]
        return torch.stack([self._logits[number] for number in range(len(self._states))])

    def _update(
        self, state: TrainingState, places: Int64[Tensor, " batch"], draws: Int64[Tensor, "batch draws"]
    ) -> Descended:
        data = self._data
        shown, labels = data.preprocessing.shown(_chosen(data, places, draws)), data.labels.index_select(0, places)
        if is_written_out(state, data.spec.smoothing):
            return descend(state, shown, labels, data.class_weights)
        with self._autocast():
            logits, _ = state.module(shown)
        loss = functional.cross_entropy(
            logits.float(), labels, weight=data.class_weights, label_smoothing=data.spec.smoothing
        )
        _descend(state.optimizer, [one for one in state.module.parameters() if one.requires_grad], loss)
        if state.average is not None and data.spec.average_decay is not None:
            _follow(state.average, state.module, data.spec.average_decay)
        return Descended(loss.detach(), logits.detach())

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._data.precision != "bfloat16" or self._data.device.type == "meta":  # which autocast does not know
            return contextlib.nullcontext()
        # A cache of cast weights would outlive a recording; each weight is used once a step anyway.
        return torch.autocast(self._data.device.type, torch.bfloat16, cache_enabled=False)

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
    """All networks as one, for networks and recipes that say so (`engines_for`).

    The states' parameters and momenta become views of the stacked ones, and so follow.
    """

    def __init__(self, data: TrainingSet, states: Sequence[TrainingState], form: Form) -> None:
        self._data = data
        self._forward = FORMS[form]
        self._network = architecture(data.network, image_size=data.image_size, outputs=data.outputs)
        assert not list(self._network.buffers()), "runs share parameters, not buffers"
        self._losses = torch.zeros(len(states), device=data.device)
        self._logits: Tensor | None = None
        self._parameters = _stacked_parameters(states)
        own = dict(self._network.named_parameters())
        self._optimizer = make_optimizer([(own[name], one) for name, one in self._parameters.items()], data.spec)
        if data.spec.descent.momentum:
            _share_momenta(states, self._parameters, self._optimizer)

    def set_learning_rate(self, rate: float) -> None:
        set_learning_rate(self._optimizer, rate)

    def step(self, batch: Batch) -> None:
        data, dtype = self._data, dtype_of(self._data.precision)
        runs, size = batch.places.shape
        chosen = _chosen(data, batch.places.flatten(), batch.draws.flatten(0, 1))
        shown = data.preprocessing(chosen).to(dtype).view(runs, size, *chosen.shape[1:])
        weights = {name: parameter.to(dtype) for name, parameter in self._parameters.items()}
        logits = self._forward(self._network, weights, shown).float().flatten(0, 1)
        if data.records:
            self._logits = logits.detach().view(runs, size, -1)
        labels = data.labels.index_select(0, batch.places.flatten())
        losses = functional.cross_entropy(
            logits, labels, weight=data.class_weights, reduction="none", label_smoothing=data.spec.smoothing
        ).view(runs, size)
        of_each = losses.mean(dim=1)
        if data.class_weights is not None:  # the mean is one over weights
            of_each = losses.sum(dim=1) / data.class_weights[labels].view(runs, size).sum(dim=1)
        # The gradient of the sum holds each network's own, even where another's loss is no number.
        _descend(self._optimizer, list(self._parameters.values()), of_each.sum())
        self._losses += of_each.detach()

    def take_losses(self) -> Float32[Tensor, " executions"]:
        taken = self._losses.clone()
        self._losses.zero_()
        return taken

    @property
    def logits(self) -> Float[Tensor, "executions batch outputs"]:
        assert self._logits is not None, "asked for after a step, of what is recorded"
        return self._logits


class Recorded(Engine):
    """Another engine's step as a CUDA graph, recorded after a few steps; learning rates are numbers on the device."""

    def __init__(self, engine: Engine, device: torch.device) -> None:
        self._engine = engine
        self._device = device
        self._side = _stream(device, _MOST_STREAMS)
        self._steps = 0
        self._rate: float | None = None
        self._batch: Batch | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def set_learning_rate(self, rate: float) -> None:
        if rate != self._rate:
            self._engine.set_learning_rate(rate)
        self._rate = rate

    def step(self, batch: Batch) -> None:
        if self._batch is None:
            self._batch = Batch(torch.empty_like(batch.places), torch.empty_like(batch.draws))
        self._batch.places.copy_(batch.places)
        self._batch.draws.copy_(batch.draws)
        self._steps += 1
        if self._steps <= _STEPS_BEFORE_RECORDING:
            self._step_aside(self._batch)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._side):  # records and does not run
                self._engine.step(self._batch)
        self._graph.replay()

    def take_losses(self) -> Float32[Tensor, " executions"]:
        return self._engine.take_losses()

    @property
    def logits(self) -> Float[Tensor, "executions batch outputs"]:
        # A copy: the next replay writes over what the step has left.
        return self._engine.logits.clone()

    def _step_aside(self, batch: Batch) -> None:
        """On the stream that records later: what libraries allocate for a stream is there by then."""
        self._side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            self._engine.step(batch)
        torch.cuda.current_stream(self._device).wait_stream(self._side)


@cache
def _stream(device: torch.device, _number: int) -> torch.cuda.Stream:
    """The same ones for every engine: cuBLAS keeps tens of MiB for each stream that it was ever called on."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


def _chosen(data: TrainingSet, places: Int64[Tensor, " batch"], draws: Int64[Tensor, "batch draws"]) -> InputTensor:
    """The images of a step, changed as the recipe asks, or their features."""
    if (asked := data.spec.augmentation) is None:
        return data.images.index_select(0, places)
    if data.flipped is not None:
        return flipped_as_drawn(data.images, data.flipped, places, draws)
    return changed(data.images, places, draws, asked)


@torch.no_grad()
def _follow(average: nn.Module, module: nn.Module, decay: float) -> None:
    """Move the average a little towards the weights as they are now; what a norm has counted is taken as it is."""
    torch._foreach_lerp_(list(average.parameters()), list(module.parameters()), 1 - decay)
    for kept, current in zip(average.buffers(), module.buffers(), strict=True):
        kept.copy_(current)


def _descend(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], loss: Tensor) -> None:
    # Not loss.backward(): it would add gradients up where earlier ones lie, on the stream that they were made on.
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
    # Kept, they would hold on to the memory of a recording, and go along with trained networks.
    optimizer.zero_grad()


def _stacked_parameters(states: Sequence[TrainingState]) -> dict[str, nn.Parameter]:
    named = [dict(state.module.named_parameters()) for state in states]
    stacked = {name: nn.Parameter(torch.stack([one[name].detach() for one in named])) for name in named[0]}
    for number, own in enumerate(named):
        for name, parameter in own.items():
            parameter.data = stacked[name].data[number]
    return stacked


def _share_momenta(
    states: Sequence[TrainingState], stacked: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
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
