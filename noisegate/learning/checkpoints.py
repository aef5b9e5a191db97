"""Checkpoints: an execution after an epoch as bytes, so that another process can go on from there.

The bytes are a SHA-256 digest and the safetensors that it is of: safetensors does not notice a flipped bit itself.
Nothing in them is ever run.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from jaxtyping import Float16, Float64, Int64
from pydantic import Field, NonNegativeFloat
from safetensors.torch import load, save
from torch import Tensor, nn

from noisegate.documents import Document
from noisegate.learning.batches import Batches
from noisegate.learning.recording import SampleRecord

_DIGEST_BYTES = 32
_LENGTH_BYTES = 8

# Bounded, as text can hold whole numbers that no float can.
_Count = Annotated[int, Field(ge=0, lt=2**63)]


class UnusableCheckpoint(Exception):
    """The bytes are damaged, or no checkpoint of this very execution."""


@dataclass
class TrainingState:
    """One run between two batches: all that training changes, and so all that a checkpoint has to hold.

    `losses` are those of the epochs that have ended; `average` is the network with the moving average of the weights, where the
    recipe keeps one. Where it stops early, `holdout_losses` are those of the same epochs, and `best` is the network after the
    first one with the lowest. `record` is what it has said of each training image, where that is kept.
    """

    seed: int
    precision: str
    module: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    average: nn.Module | None = None
    best: nn.Module | None = None
    record: SampleRecord | None = None
    losses: list[float] = field(default_factory=list)
    holdout_losses: list[float] = field(default_factory=list)
    images_seen: int = 0
    train_seconds: float = 0.0


class _Header(Document):
    """The metadata of the safetensors: what is no tensor."""

    seed: int
    precision: str
    torch: str
    device: str
    epoch: _Count
    position: _Count
    images_seen: _Count
    train_seconds: NonNegativeFloat


def write_checkpoint(state: TrainingState) -> bytes:
    """The state as bytes. It must stand at the end of an epoch."""
    losses, held = (torch.tensor(one, dtype=torch.float64) for one in (state.losses, state.holdout_losses))
    told = state.record.told() if state.record else None
    tensors = _named(state, _optimizer_tensors(state), state.batches.order, losses, held, told)
    metadata = {name: str(value) for name, value in _header(state).model_dump().items()}
    body: bytes = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    return hashlib.sha256(body).digest() + body


def restore(state: TrainingState, checkpoint: bytes, *, epochs: int, recorded: Sequence[int] = ()) -> None:
    """Put an execution that has just been built where its checkpoint left it.

    Args:
        epochs: how many the execution is to have; the checkpoint must be of an earlier one.
        recorded: those of which its record tells, where it keeps one.

    Raises:
        UnusableCheckpoint: the bytes are damaged, or of another seed, precision, version of torch, kind of device or of
            other shapes. `state` has not changed then.
    """
    header, tensors = _read(checkpoint)
    _check_header(header, state, epochs)
    # Values are copied into tensors like those that training makes: strides decide the order in which numbers are added.
    moments = _places_for_optimizer(state)
    order = torch.empty(state.batches.images, dtype=torch.int64, device=state.batches.device)
    losses, held = (torch.empty(header.epoch, dtype=torch.float64) for _ in range(2))
    told = _places_for_epochs(state, sum(epoch <= header.epoch for epoch in recorded))
    places = _named(state, moments, order, losses, held, told)
    _check_tensors(tensors, places)

    with torch.no_grad():
        for name, place in places.items():
            place.copy_(tensors[name])
    for name, parameter in _trained(state).items():
        if kept := {key: moments[prefix + name] for key, prefix in _PREFIXES.items() if prefix + name in moments}:
            state.optimizer.state[parameter] = kept
    state.batches.generator.set_state(places["generator"])
    state.batches.order, state.batches.position = order, header.position
    state.losses = losses.tolist()
    state.holdout_losses = held.tolist() if state.best is not None else []
    if state.record is not None and told is not None:
        state.record.epochs = list(told)
    state.images_seen, state.train_seconds = header.images_seen, header.train_seconds


def _named(
    state: TrainingState,
    moments: Mapping[str, Tensor],
    order: Int64[Tensor, " n"],
    losses: Float64[Tensor, " epochs"],
    holdout_losses: Float64[Tensor, " measured"],
    told: Float16[Tensor, "epochs 2 n"] | None,
) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by its name."""
    networks = {"network": state.module, "average": state.average, "best": state.best}
    weights = {
        f"{kind}.{name}": tensor
        for kind, module in networks.items()
        if module is not None
        for name, tensor in module.state_dict(keep_vars=True).items()
    }
    return {
        **weights,
        **({} if state.best is None else {"holdout_losses": holdout_losses}),
        **_of_record(state.record, told),
        **moments,
        "generator": state.batches.generator.get_state(),
        "order": order,
        "losses": losses,
    }


def _of_record(record: SampleRecord | None, told: Float16[Tensor, "epochs 2 n"] | None) -> dict[str, Tensor]:
    if record is None:
        return {}
    assert told is not None, "where there is a record, there is what it tells"
    summed = {} if record.summed is None else {"record.summed": record.summed}
    return {"record.epochs": told, "record.errors": record.errors, **summed}


def _places_for_epochs(state: TrainingState, epochs: int) -> Float16[Tensor, "epochs 2 n"] | None:
    return None if state.record is None else torch.empty(epochs, 2, len(state.record.errors), dtype=torch.float16)


# What optimizers keep of each parameter, by the names that the tensors have in a checkpoint.
_PREFIXES = {
    "momentum_buffer": "momentum.",
    "exp_avg": "first_moment.",
    "exp_avg_sq": "second_moment.",
    "step": "step.",
}


def _trained(state: TrainingState) -> dict[str, nn.Parameter]:
    """What the optimizer was given, of which some may not be updated yet."""
    given = {parameter for group in state.optimizer.param_groups for parameter in group["params"]}
    return {name: parameter for name, parameter in state.module.named_parameters() if parameter in given}


def _optimizer_tensors(state: TrainingState) -> dict[str, Tensor]:
    """What the optimizer keeps, by its names in a checkpoint; without momentum it keeps nothing.

    Of parameters that have not been updated yet it keeps nothing either; here they have what it would begin with.
    """
    found = _places_for_optimizer(state)
    for name, parameter in _trained(state).items():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            if value is not None:
                found[_PREFIXES[key] + name] = value
    return found


def _places_for_optimizer(state: TrainingState) -> dict[str, Tensor]:
    """Where to put what the optimizer of this recipe keeps: zeros, like what it would make itself in its first step."""
    places = {}
    for name, parameter in _trained(state).items():
        for key in _kept(state.optimizer):
            if key == "step":  # on the device only where the optimizer is recorded there
                device = parameter.device if state.optimizer.defaults["capturable"] else torch.device("cpu")
                places[_PREFIXES[key] + name] = torch.zeros((), dtype=torch.float32, device=device)
            else:
                places[_PREFIXES[key] + name] = torch.zeros_like(parameter)
    return places


def _kept(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    if isinstance(optimizer, torch.optim.AdamW):
        return ("exp_avg", "exp_avg_sq", "step")
    return ("momentum_buffer",) if optimizer.defaults["momentum"] else ()


def _header(state: TrainingState) -> _Header:
    return _Header(
        seed=state.seed,
        precision=state.precision,
        torch=torch.__version__,
        device=state.batches.device.type,
        epoch=len(state.losses),
        position=state.batches.position,
        images_seen=state.images_seen,
        train_seconds=state.train_seconds,
    )


def _read(checkpoint: bytes) -> tuple[_Header, dict[str, Tensor]]:
    digest, body = checkpoint[:_DIGEST_BYTES], checkpoint[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise UnusableCheckpoint("its bytes are damaged")
    try:
        tensors: dict[str, Tensor] = load(body)
        return _Header.model_validate_strings(_metadata(body)), tensors
    except Exception as error:
        # safetensors has an error of its own, but makes tensors of odd shapes and types until Python or PyTorch objects.
        raise UnusableCheckpoint(f"its bytes are no checkpoint ({type(error).__name__})") from error


def _metadata(body: bytes) -> object:
    """The metadata of safetensors that `load` has found well formed: from bytes the library gives tensors only."""
    end = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES], "little")
    return json.loads(body[_LENGTH_BYTES:end])["__metadata__"]


def _check_header(header: _Header, state: TrainingState, epochs: int) -> None:
    here = _header(state)
    different = [
        name for name in ("seed", "precision", "torch", "device") if getattr(header, name) != getattr(here, name)
    ]
    if different:
        raise UnusableCheckpoint(f"it is of another {', '.join(different)}")
    if not 0 < header.epoch < epochs:
        raise UnusableCheckpoint(f"it is of epoch {header.epoch}, and training has {epochs}")
    if header.position > state.batches.images:
        raise UnusableCheckpoint("its pass has more images than there are")


def _check_tensors(tensors: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> None:
    if _layout(tensors) != _layout(places):
        raise UnusableCheckpoint("its tensors have other names, shapes or types")
    order = tensors["order"]
    if not torch.equal(order.sort().values, torch.arange(len(order))):
        raise UnusableCheckpoint("its order does not hold each image once")
    if not tensors["losses"].isfinite().all():
        raise UnusableCheckpoint("one of its losses is no finite number")
    try:
        torch.Generator().set_state(tensors["generator"])
    except RuntimeError as error:
        raise UnusableCheckpoint("its generator cannot be in that state") from error


def _layout(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
