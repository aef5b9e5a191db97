"""Which engine is fastest is found out on the device itself: it depends on the GPU, its libraries and the sizes."""

import time

import structlog
import torch

from noisegate.learning.engines import ENGINES, EngineName, build_engine
from noisegate.learning.recipe import exact_arithmetic, learning_rate, on_device
from noisegate.learning.states import TrainingSet, fresh_state

log = structlog.get_logger(__name__)

# The first steps choose algorithms and record the graph.
_UNTIMED_STEPS = 5
_TIMED_STEPS = 10
_TRIALS = 3

# Known for as long as the process lives; a cell's classes and images make no difference worth another trial.
_fastest: dict[tuple[object, ...], EngineName] = {}


def choose_engine(data: TrainingSet, executions: int) -> EngineName:
    """The engine for so many executions at once: on a CPU `separate`, on a GPU the one that is fastest in a short trial.

    The trial trains networks of its own; those of the caller are untouched.
    """
    if data.device.type == "cpu":
        return "separate"
    # About so many: a few more or less would choose the same.
    about = executions.bit_length()
    key = (str(data.device), data.network, data.image_size, data.spec.batch_size, data.precision, about)
    if key not in _fastest:
        seconds = try_engines(data, executions)
        # Where none can be tried, training by the plainest one tells why.
        _fastest[key] = min(seconds, key=lambda name: seconds[name], default="separate")
        milliseconds = {name: round(1000 * one, 3) for name, one in seconds.items()}
        log.info("engine_chosen", engine=_fastest[key], executions=executions, milliseconds_a_step=milliseconds)
    return _fastest[key]


def try_engines(data: TrainingSet, executions: int) -> dict[EngineName, float]:
    """Seconds that a step of all takes with each engine; one that cannot be used here is logged and left out.

    Raises:
        torch.AcceleratorError: the device is in no state to be used any more.
    """
    seconds: dict[EngineName, float] = {}
    for name in ENGINES:
        try:
            with exact_arithmetic(), on_device(data.device):  # as in training
                seconds[name] = _try(name, data, executions)
        except RuntimeError as error:  # no memory, a kernel that is missing here, a graph that cannot be recorded
            log.warning("engine_not_usable", engine=name, error=str(error).partition("\n")[0])
        _tidy(data.device)
    return seconds


def _tidy(device: torch.device) -> None:
    """As if nothing had been tried. Raises torch.AcceleratorError if the device no longer answers."""
    if device.type == "cuda":
        # In some versions of PyTorch, a recording that failed leaves its stream as the current one.
        torch.cuda.set_stream(torch.cuda.default_stream(device))
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def _try(name: EngineName, data: TrainingSet, executions: int) -> float:
    states = [fresh_state(data, seed) for seed in range(executions)]
    engine = build_engine(name, data, states)
    engine.set_learning_rate(learning_rate(data.spec, 1))
    batches = torch.stack([next(state.batches) for state in states])
    for _ in range(_UNTIMED_STEPS):
        engine.step(batches)
    trials = []
    for _ in range(_TRIALS):
        _finish(data.device)
        started = time.perf_counter()
        for _ in range(_TIMED_STEPS):
            engine.step(batches)
        _finish(data.device)
        trials.append(time.perf_counter() - started)
    return min(trials) / _TIMED_STEPS


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
