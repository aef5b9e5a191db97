"""On which device a process trains, how many executions it claims for it, and how many of them it trains at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
import torch

from noisegate.learning.engines import EngineName, engines_for
from noisegate.learning.memory import Needed, free_bytes, needed
from noisegate.learning.recipe import choose_precision
from noisegate.learning.training import ALONE, Together
from noisegate.spec import ClassifierExperiment
from noisegate.store.settings import Settings
from noisegate.store.tables import Dataset
from worker.resources import process_number

log = structlog.get_logger(__name__)

# As many as a cell of the paper has; more would make a GPU no busier.
_MOST_AT_ONCE = 50
# Fewer would not keep one busy, however many GPUs there are to share with.
_FEWEST_TO_SHARE = 10


class NoDevice(Exception):
    """A GPU is asked for and this process finds none."""


@dataclass(frozen=True)
class Placing:
    """Where the executions of a claim are trained, and how many of them together."""

    device: str
    together: Together


def claim_capacity(settings: Settings) -> int:
    """How many executions of one cell a claim may take, if the settings do not say: one on a CPU.

    The GPUs of a machine share a cell between them: what one claims at once, the others cannot have.
    """
    if settings.claim_capacity:
        return settings.claim_capacity
    if settings.device == "cpu" or not torch.cuda.is_available():
        return 1
    return max(_FEWEST_TO_SHARE, math.ceil(_MOST_AT_ONCE / torch.cuda.device_count()))


def place(settings: Settings, spec: ClassifierExperiment, dataset: Dataset, executions: int) -> Placing:
    """Where to train these executions of a cell, and how many at once.

    A stacked engine that the settings name is taken for networks and recipes that it can compute; others train separately.

    Raises:
        NoDevice: a GPU is asked for and there is none.
        InsufficientMemory: not even one fits into the GPU's free memory, or into what the settings allow of it.
    """
    if spec.training.needs_backbone and not spec.training.tunes_backbone:
        return Placing("cpu", ALONE)  # a layer on features: moving them would take as long as training does
    network, device = spec.trained_network, choose_device(settings)
    offered = engines_for(network, spec.training, image_size=spec.image_size)
    wanted = settings.engine if settings.engine in offered else "separate"
    engine = None if settings.engine == "auto" else wanted
    if engine not in (None, settings.engine):
        log.info("engine_not_offered", asked=settings.engine, engine=engine, network=network)
    if device == "cpu":
        # One after another, unless a stacked engine is asked for by name.
        return Placing(device, Together(1 if engine in (None, "separate") else executions, engine))
    gpu = torch.device(device)
    free = free_bytes(gpu)
    if settings.gpu_memory_bytes:
        free = min(free, settings.gpu_memory_bytes - torch.cuda.memory_allocated(gpu))
    need = _needed(spec, dataset, gpu, offered if engine is None else [engine])
    return Placing(device, Together(need.fitting(free, executions, torch.cuda.get_device_name(gpu)), engine))


def occupy(settings: Settings, device: str) -> None:
    """Make the GPU this process's own: what names none means this one, and takes no more memory than the settings allow."""
    if device == "cpu":
        return
    torch.cuda.set_device(device)
    if settings.gpu_memory_bytes:
        _, total = torch.cuda.mem_get_info(device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, settings.gpu_memory_bytes / total), device)


def choose_device(settings: Settings) -> str:
    """ "cpu", or the GPU that belongs to this process.

    Raises:
        NoDevice: a GPU is asked for and there is none.
    """
    if settings.device == "cpu" or (settings.device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise NoDevice("NOISEGATE_DEVICE is cuda, but PyTorch finds no CUDA device")
    return f"cuda:{process_number() % torch.cuda.device_count()}"


def uses_gpu() -> bool:
    """Whether this process has asked anything of a GPU."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def broken_by(error: Exception) -> torch.AcceleratorError | None:
    """What CUDA says once its context is broken, for good; None while the device answers, or is not used.

    Neither does every AcceleratorError mean that, nor does only that one: cuBLAS has errors of its own.
    """
    if not uses_gpu():
        return error if isinstance(error, torch.AcceleratorError) else None
    try:
        torch.cuda.synchronize()
    except torch.AcceleratorError as found:
        return found
    return None


def _needed(
    spec: ClassifierExperiment, dataset: Dataset, device: torch.device, engines: Sequence[EngineName]
) -> Needed:
    """With the engine that needs most, where the device chooses."""
    assert dataset.train_count is not None, "a dataset is trained on when it is ready"
    assert dataset.classes is not None
    known = len(dataset.classes)
    images = dataset.train_count + spec.count_noise_images(dataset.train_count / known)
    precision = choose_precision(spec.training.precision, device)
    estimates = [
        needed(
            network=spec.trained_network,
            outputs=known + spec.has_noise_class,
            image_size=spec.image_size,
            images=images,
            spec=spec.training,
            precision=precision,
            engine=engine,
            activations=spec.activations,
        )
        for engine in engines
    ]
    return max(estimates, key=lambda one: one.each)
