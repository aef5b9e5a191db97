"""Networks that somebody else has trained, registered as models."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from noisegate.spec.experiment import ExperimentBase


class PretrainedExperiment(ExperimentBase):
    """Register a network that somebody else has trained: torchvision's AlexNet with its ImageNet weights."""

    not_swept: ClassVar[frozenset[str]] = ExperimentBase.not_swept | {"network"}

    kind: Literal["pretrained"] = "pretrained"
    network: Literal["alexnet"] = "alexnet"
    executions: int = Field(1, ge=1, le=1)

    def named_members(self) -> Iterator[tuple[str, str]]:
        yield from super().named_members()
        yield "network", self.network
