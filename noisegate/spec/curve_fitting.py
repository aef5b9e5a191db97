"""Curves fitted to a step that is known only in part (Figure 5 of the paper)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from noisegate.documents import MOST
from noisegate.spec.caps import Caps, Requested
from noisegate.spec.experiment import ExperimentBase
from noisegate.spec.facts import DatasetFacts


class CurveFittingExperiment(ExperimentBase):
    """Fit a network with one hidden layer to a step at 0.5, knowing it only in part of [0, 1]. (Figure 5)"""

    kind: Literal["curve_fitting"] = "curve_fitting"
    training_set: Literal["middle", "ends"] = Field(
        "middle", description="middle: x from [0.4, 0.6]; ends: half of x from [0, 0.1) and half from (0.9, 1]."
    )
    samples: int = Field(40_000, ge=10, le=MOST, description="Points to fit; those of `ends` are shared equally.")
    hidden_units: int = Field(10, ge=1, le=100)
    iterations: int = Field(50, ge=1, le=10_000, description="Maximum number of steps of the least-squares solver.")

    def requested(self, caps: Caps) -> Iterator[Requested]:
        yield from super().requested(caps)
        yield Requested("samples", self.samples, caps.points)

    def training_images(self, dataset: DatasetFacts | None) -> int:  # noqa: ARG002
        return self.samples
