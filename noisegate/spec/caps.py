"""How much one experiment may ask for: caps that a server sets, checked before anything is written."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from pydantic import Field

from noisegate.documents import Document
from noisegate.errors import FieldError, InvalidSpec
from noisegate.seeds import LARGEST_ASKED


class Caps(Document):
    """The most that one experiment may ask for; a server's settings override the defaults."""

    epochs: int = Field(500, ge=1)
    executions: int = Field(100, ge=1)
    cells: int = Field(100, ge=1)
    image_size: int = Field(224, ge=8)
    quantity: float = Field(100, ge=0, description="Of all kinds of noise in a cell together.")
    batch_pixels: int = Field(2**24, ge=1, description="Pixels of one batch: training.batch_size × image_size².")
    training_bytes: int = Field(
        4 * 2**30,
        ge=1,
        description="Of the training images of one cell, noise included, as uint8; with the recipe fine_tune of their "
        "activations, as float32. Features of the recipe linear are not counted.",
    )
    hybrid_pairs: int = Field(10_000, ge=1, description="Hybrids that one execution of kind `hybrids` makes.")
    points: int = Field(200_000, ge=10, description="Training points of one curve fitting or decision map.")


class Requested(NamedTuple):
    """How much a spec asks for in one of its fields, and how much this server allows there."""

    field: str
    value: float
    cap: float


class Capped(Protocol):
    """A spec, as far as caps go."""

    @property
    def seeds(self) -> Mapping[str, int]: ...

    def requested(self, caps: Caps) -> Iterator[Requested]: ...

    def count_cells(self) -> int: ...


def check_caps(spec: Capped, caps: Caps) -> None:
    """Refuse a spec that asks for more than `caps`, or for a seed that some clients round. The sweep is counted before it is built.

    Raises:
        InvalidSpec: with one entry a field over its cap.
    """
    errors = [
        FieldError(field, f"is {value:g}; this server allows {cap:g}", f"Ask for at most {cap:g}.")
        for field, value, cap in spec.requested(caps)
        if value > cap
    ]
    # Not in the spec itself: those that were posted before stay readable.
    errors += [
        FieldError(field, f"is {seed}, which JavaScript and jq round", f"Choose one from 0 to {LARGEST_ASKED}.")
        for field, seed in spec.seeds.items()
        if seed > LARGEST_ASKED
    ]
    if spec.count_cells() > caps.cells:
        message = f"stands for {spec.count_cells()} cells; this server allows {caps.cells}"
        errors.append(FieldError("sweep", message, "Sweep fewer values, or post several experiments."))
    if errors:
        raise InvalidSpec(errors)
