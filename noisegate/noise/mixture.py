"""Gaussian noise of many parameters at once."""

import itertools
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, JsonValue

from noisegate.noise.base import NoiseFamily, Quantity
from noisegate.noise.canvas import Canvas, Images
from noisegate.noise.filters import FilterKind, FilterSize, NoiseFilter
from noisegate.noise.gaussian import GaussianNoise, PixelMean, PixelStd


class MixtureNoise(NoiseFamily):
    """Gaussian noise of every mean with every standard deviation with every filter size, in equal groups."""

    example_fields: ClassVar[Mapping[str, JsonValue]] = {"means": [63, 191], "stds": [35, 70]}
    covered: ClassVar[frozenset[str]] = frozenset({"gaussian"})

    family: Literal["mixture"]
    means: list[PixelMean] = Field(min_length=1, max_length=64)
    stds: list[PixelStd] = Field(min_length=1, max_length=64)
    filter_kind: FilterKind = "mean"
    filter_sizes: list[FilterSize] = Field(default=[1], min_length=1, max_length=4)
    quantity: Quantity = 1

    def groups(self) -> Sequence[GaussianNoise]:
        """Every mean with every standard deviation with every filter size, the last changing fastest."""
        return [
            GaussianNoise(family="gaussian", mean=mean, std=std, filter=NoiseFilter(kind=self.filter_kind, size=size))
            for mean, std, size in itertools.product(self.means, self.stds, self.filter_sizes)
        ]

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        (group,) = self.groups()
        return group.draw(generator, canvas)

    def words(self) -> str:
        parameters = f"{_numbers(self.means)}±{_numbers(self.stds)}"
        return f"mixture {parameters} {self.times}, {self.filter_kind} {_numbers(self.filter_sizes)}"


def _numbers(values: Sequence[float]) -> str:
    # A few by name, many by their ends.
    return f"{values[0]:g}…{values[-1]:g}" if len(values) > 3 else "/".join(f"{value:g}" for value in values)
