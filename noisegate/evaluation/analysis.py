"""What the kinds of experiment other than plain training yield."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from noisegate.open_set import OpenSetFound


@dataclass(frozen=True)
class Analysis:
    """One execution's numbers, to be averaged over executions, and what a figure is drawn from.

    `measures` may hold None where an execution has no such number. `details` is plain JSON.
    `samples` are scores of each test image, as Parquet.
    """

    measures: Mapping[str, float | None]
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    open_set: OpenSetFound | None = None
    samples: bytes | None = None
