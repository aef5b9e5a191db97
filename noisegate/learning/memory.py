"""How much of a GPU's memory a training takes, estimated before it starts, and how many executions fit at once."""

import math
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from noisegate.errors import InvalidInput
from noisegate.learning.augmentation import DRAWS
from noisegate.learning.batches import Batch
from noisegate.learning.checkpoints import TrainingState
from noisegate.learning.engines import Engine, EngineName, Separate, Stacked, engines_for
from noisegate.learning.recipe import Precision
from noisegate.learning.states import Holdout, TrainingSet, state_of
from noisegate.networks.building import architecture
from noisegate.networks.preprocessing import Preprocessing
from noisegate.spec.recipe import TrainingSpec

GIB = 2**30

# Of what a step is estimated to take: copies within libraries, their workspaces, and blocks that cannot be used whole.
_MARGIN = 1.5
# Once a process: what PyTorch loads when it is first used, and the workspaces that cuBLAS keeps for 17 streams.
_LIBRARIES_BYTES = 3 * GIB // 2

# Of one image, or of activations: side, side, channels.
Shape = tuple[int, int, int]


class InsufficientMemory(InvalidInput):
    """Not even one execution fits on this device."""

    code = "insufficient-memory"
    title = "Not enough memory to train on"

    def __init__(self, needed: int, free: int, device: str) -> None:
        super().__init__(
            f"one execution needs {needed / GIB:.2f} GiB of memory on {device}, where {free / GIB:.2f} GiB are free",
            remedy="Ask for smaller batches, smaller images or less noise, or start a worker with more memory.",
        )


@dataclass(frozen=True)
class Needed:
    """Bytes on a device: of what all executions share, and of each one that is trained at once."""

    shared: int
    each: int

    def of(self, executions: int) -> int:
        """Bytes for this number at once."""
        return self.shared + executions * self.each

    def fitting(self, free: int, most: int, device: str) -> int:
        """How many fit at once, at most `most`.

        Raises:
            InsufficientMemory: none does.
        """
        if (fitting := (free - self.shared) // self.each) < 1:
            raise InsufficientMemory(self.of(1), free, device)
        return min(most, fitting)


def needed(
    *,
    network: str,
    outputs: int,
    image_size: int,
    images: int,
    spec: TrainingSpec,
    precision: Precision,
    engine: EngineName,
    activations: Shape | None = None,
) -> Needed:
    """Bytes to train on this number of images, noise and holdout included: an estimate with a margin, not a measurement.

    Args:
        activations: side, side and channels of what the network takes in place of images, if it does; float32, and of mirrored
            images as well where the recipe flips.
    """
    step = spec.model_copy(update={"batch_size": min(spec.batch_size, images)})
    shape = activations or (image_size, image_size, 3)
    of_image = math.prod(shape) if activations is None else (2 if spec.augmentation else 1) * 4 * math.prod(shape)
    kind = torch.uint8 if activations is None else torch.float32
    in_step = partial(_peak_of_step, network, outputs, shape, kind, step, precision, engine)
    # Of stacked runs, what one more of them adds.
    of_step = in_step(1) if engine == "separate" else in_step(2) - in_step(1)
    data = images * (of_image + 8)
    orders = 2 * images * 8  # of this pass, and of the next while it is drawn
    return Needed(shared=data + _LIBRARIES_BYTES, each=round(of_step * _MARGIN) + orders)


def free_bytes(device: torch.device) -> int:
    """What this process can still have of a GPU's memory, its own unused blocks included."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


@lru_cache(maxsize=64)
def _peak_of_step(
    network: str,
    outputs: int,
    shape: Shape,
    kind: torch.dtype,
    spec: TrainingSpec,
    precision: Precision,
    engine: EngineName,
    executions: int,
) -> int:
    """Peak bytes of one step of this number of runs: weights, what the optimizer keeps, and all that lies between.

    The step is carried out on PyTorch's meta device, where tensors have sizes and no values.
    """
    with torch.device("meta"), _Held() as held:
        images, labels = torch.empty(1, *shape, dtype=kind), torch.empty(1, dtype=torch.int64)
        taken_as_it_is = kind is torch.float32
        data = TrainingSet(
            images=images,
            labels=labels,
            preprocessing=Preprocessing(torch.empty(1) if taken_as_it_is else torch.empty(*shape)),
            network=network,
            outputs=outputs,
            spec=spec,
            precision=precision,
            known_images=1,
            flipped=images if taken_as_it_is and spec.augmentation else None,
            holdout=Holdout(images, labels) if spec.stops_after is not None else None,
        )
        modules = [architecture(network, image_size=shape[0], outputs=outputs) for _ in range(executions)]
        states = [state_of(data, 0, module.train(), torch.Generator()) for module in modules]
        stepped = _engine(engine, data, states)
        changes = DRAWS if spec.augmentation else 0
        batch = Batch(
            torch.empty(executions, spec.batch_size, dtype=torch.int64),
            torch.empty(executions, spec.batch_size, changes, dtype=torch.int64),
        )
        for _ in range(2):  # the first one makes what the optimizer keeps
            stepped.step(batch)
    most: int = held.most
    return most


def _engine(name: EngineName, data: TrainingSet, states: Sequence[TrainingState]) -> Engine:
    if name != "separate":
        return Stacked(data, states, name)
    # By itself or as a stack of one, a network makes the same values; autocast, which `Separate` needs for bfloat16, knows no
    # meta device: a network without a stacked form counts as if it multiplied in float32, which is an upper bound.
    offered = engines_for(data.network, data.spec, image_size=data.image_size)
    return Stacked(data, states, "vmapped") if "vmapped" in offered else Separate(data, states)


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that live: of every result of every operation, until it is let go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most: int = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        # PyTorch gives the same object for the same storage as long as it lives; views share it.
        if id(storage) in self._known:
            return
        self._known.add(id(storage))
        self._now += storage.nbytes()
        self.most = max(self.most, self._now)
        weakref.finalize(storage, self._let_go, id(storage), storage.nbytes())

    def _let_go(self, known: int, size: int) -> None:
        self._known.remove(known)
        self._now -= size
