"""What the kinds of experiment other than plain training yield."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue


@dataclass(frozen=True)
class Analysis:
    """One execution's numbers, to be averaged over executions, and what a figure is drawn from.

    `measures` may hold None where an execution has no such number. `details` is plain JSON.
    """

    measures: Mapping[str, float | None]
    details: Mapping[str, JsonValue] = field(default_factory=dict)
