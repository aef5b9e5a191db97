"""Maps of the plane by class (Figure 13 of the paper)."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from noisegate.spec.caps import Caps, Requested
from noisegate.spec.experiment import ExperimentBase
from noisegate.spec.facts import DatasetFacts


class DecisionMapExperiment(ExperimentBase):
    """Classify clusters of points in the plane, and see which part of it goes to which class. (Figure 13)"""

    kind: Literal["decision_map"] = "decision_map"
    clusters: int = Field(4, ge=2, le=10)
    points_per_cluster: int = Field(200, ge=10, le=10_000)
    cluster_std: float = Field(
        0.05, gt=0, le=1, description="Of each cluster; the plane is the unit square, points outside are redrawn."
    )
    noise_quantity: float = Field(
        0, ge=0, le=100, description="Noise points, spread evenly over the plane, in units of points_per_cluster."
    )
    hidden_units: int = Field(64, ge=1, le=1024, description="In each of the two hidden layers.")
    epochs: int = Field(100, ge=1, le=10_000)

    @property
    def epochs_per_execution(self) -> int:
        return self.epochs

    def requested(self, caps: Caps) -> Iterator[Requested]:
        yield from super().requested(caps)
        most = caps.points // (self.clusters + self.noise_quantity)
        yield Requested("points_per_cluster", self.points_per_cluster, most)
        yield Requested("epochs", self.epochs, caps.epochs)

    def training_images(self, dataset: DatasetFacts | None) -> int:  # noqa: ARG002
        return self.epochs * round(self.points_per_cluster * (self.clusters + self.noise_quantity))
