"""Independent normal values: the paper's gaussian noise."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from noisegate.noise.base import NoiseFamily, Quantity
from noisegate.noise.canvas import Canvas, Images, normal_pixels
from noisegate.noise.filters import NoiseFilter, filter_details, filter_words, filter_work, filtered

PixelMean = Annotated[float, Field(ge=-1000, le=1000)]
PixelStd = Annotated[float, Field(ge=0, le=1000)]


class GaussianNoise(NoiseFamily):
    """Independent normal values for every pixel and channel, rounded and saturated to 0 … 255."""

    covered: ClassVar[frozenset[str]] = frozenset({"gaussian"})

    family: Literal["gaussian"]
    mean: PixelMean = 127
    std: PixelStd = 70
    quantity: Quantity = 1
    filter: NoiseFilter | None = None

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        return filtered(normal_pixels(generator, canvas, self.mean, self.std), self.filter)

    def words(self) -> str:
        return f"gaussian {self.mean:g}±{self.std:g} {self.times}{filter_words(self.filter)}"

    def details(self) -> list[str]:
        return [f"mean {self.mean:g}, std {self.std:g}", *filter_details(self.filter)]

    @property
    def work_per_value(self) -> int:
        return filter_work(self.filter)
