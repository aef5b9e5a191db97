"""Which engine is fastest is found out on the device itself: it depends on the GPU, its libraries and the sizes.

Only engines that can compute the network are tried, and one whose steps do not agree with those of each network by itself is
left out, however fast it is.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from noisegate.learning.batches import Batch
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.engines import Engine, EngineName, build_engine, engines_for
from noisegate.learning.recipe import Precision, exact_arithmetic, on_device
from noisegate.learning.states import TrainingSet, fresh_state

log = structlog.get_logger(__name__)

# The first steps choose algorithms and record the graph.
_UNTIMED_STEPS = 5
_TIMED_STEPS = 10
_TRIALS = 3

_TOLERANCES: dict[Precision, float] = {"float32": 1e-3, "bfloat16": 3e-2}
_CHECKED_RUNS = 2

Losses = Float32[Tensor, " executions"]


@dataclass(frozen=True)
class _Step:
    """One step in float32: the losses of the runs, each of their parameters before it, and by how much it moved that."""

    losses: Losses
    before: list[Tensor]
    moved: list[Tensor]

    def agrees(self, expected: "_Step") -> bool:
        """Rounding parts two engines by some 1e-6, and parameters by as much of their own size; a wrong layer by far more."""
        tolerance = _TOLERANCES["float32"]
        apart = [(one - other).norm() for one, other in zip(self.moved, expected.moved, strict=True)]
        allowed = [
            tolerance * moved.norm() + 1e-6 * before.norm()
            for moved, before in zip(expected.moved, expected.before, strict=True)
        ]
        within = all(bool(one <= most) for one, most in zip(apart, allowed, strict=True))
        return within and _agree(self.losses, expected.losses, "float32")


# Known for as long as the process lives; a cell's classes and images make no difference worth another trial.
_fastest: dict[tuple[object, ...], EngineName] = {}


def choose_engine(data: TrainingSet, executions: int) -> EngineName:
    """The engine for this number of executions at once: on a CPU `separate`, on a GPU the one that is fastest in a short trial.

    The trial trains networks of its own; those of the caller are untouched.
    """
    if data.device.type == "cpu" or _engines(data) == ("separate",):
        return "separate"
    # By its magnitude: a few more or less would choose the same.
    about = executions.bit_length()
    key = (
        str(data.device),
        data.network,
        data.spec.recipe,
        data.image_size,
        data.spec.batch_size,
        data.precision,
        about,
    )
    if key not in _fastest:
        seconds = try_engines(data, executions)
        # Where none can be tried, training by the plainest one tells why.
        _fastest[key] = min(seconds, key=lambda name: seconds[name], default="separate")
        milliseconds = {name: round(1000 * one, 3) for name, one in seconds.items()}
        log.info("engine_chosen", engine=_fastest[key], executions=executions, milliseconds_a_step=milliseconds)
    return _fastest[key]


def try_engines(data: TrainingSet, executions: int) -> dict[EngineName, float]:
    """Seconds that a step of all takes with each engine; one that cannot be used here, or computes otherwise, is logged and
    left out.

    Raises:
        torch.AcceleratorError: the device is in no state to be used any more.
    """
    seconds: dict[EngineName, float] = {}
    expected: tuple[_Step, Losses] | None = None
    for name in _engines(data):  # `separate` is the first of them
        try:
            with exact_arithmetic(), on_device(data.device):  # as in training
                step = _checked_step(name, data)
                losses, taken = _try(name, data, executions)
            expected = (step, losses) if expected is None else expected
            if step.agrees(expected[0]) and _agree(losses, expected[1], data.precision):
                seconds[name] = taken
            else:
                log.warning("engine_disagrees", engine=name, losses=losses.tolist(), expected=expected[1].tolist())
        except RuntimeError as error:  # no memory, a kernel that is missing here, a graph that cannot be recorded
            log.warning("engine_not_usable", engine=name, error=str(error).partition("\n")[0])
        _tidy(data.device)
    return seconds


def _agree(losses: Losses, expected: Losses, precision: Precision) -> bool:
    """Whether two engines have trained the same runs alike, by the mean losses of their first steps.

    Rounding alone parts them by some 1e-6 of the loss in float32 and 1e-3 in bfloat16; a wrong layer by far more.
    """
    return bool(torch.allclose(losses, expected, rtol=_TOLERANCES[precision], atol=0, equal_nan=True))


def _tidy(device: torch.device) -> None:
    """As if nothing had been tried. Raises torch.AcceleratorError if the device no longer answers."""
    if device.type == "cuda":
        # In some versions of PyTorch, a recording that failed leaves its stream as the current one.
        torch.cuda.set_stream(torch.cuda.default_stream(device))
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def _checked_step(name: EngineName, data: TrainingSet) -> _Step:
    """A step of runs none of whose parameters is near 0.

    Fresh biases are 0 and the paper's first weights nearly so: of the first steps of such networks, even one without its
    biases makes the same losses.
    """
    exact = replace(data, precision="float32")
    states = [fresh_state(exact, seed) for seed in range(_CHECKED_RUNS)]
    parameters = [parameter for state in states for parameter in state.module.parameters()]
    _draw_anew(parameters)
    before = [parameter.detach().clone() for parameter in parameters]
    engine = build_engine(name, exact, states)
    engine.set_learning_rate(1.0)
    engine.step(_next(states))
    moved = [after.detach() - was for after, was in zip(parameters, before, strict=True)]
    return _Step(engine.take_losses().cpu(), before, moved)


@torch.no_grad()
def _draw_anew(parameters: Sequence[nn.Parameter]) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in parameters:
        std = 0.1 if parameter.ndim < 2 else parameter[0].numel() ** -0.5
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


def _try(name: EngineName, data: TrainingSet, executions: int) -> tuple[Losses, float]:
    """The mean loss of each run over the first steps, and the seconds of a step."""
    states = [fresh_state(data, seed) for seed in range(executions)]
    engine = build_engine(name, data, states)
    engine.set_learning_rate(data.spec.rate_at(0, 1))
    for _ in range(_UNTIMED_STEPS):
        engine.step(_next(states))
    losses = engine.take_losses().cpu() / _UNTIMED_STEPS
    batch = _next(states)
    return losses, min(_time(engine, batch, data.device) for _ in range(_TRIALS)) / _TIMED_STEPS


def _next(states: Sequence[TrainingState]) -> Batch:
    return Batch.stacked([next(state.batches) for state in states])


def _time(engine: Engine, batch: Batch, device: torch.device) -> float:
    _finish(device)
    started = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        engine.step(batch)
    _finish(device)
    return time.perf_counter() - started


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _engines(data: TrainingSet) -> tuple[EngineName, ...]:
    return engines_for(data.network, data.spec, image_size=data.image_size)
