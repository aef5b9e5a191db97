"""Independent levels, all equally likely: the paper's uniform noise."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from noisegate.noise.base import NoiseFamily, Quantity
from noisegate.noise.canvas import LEVELS, Canvas, Images, uniform_pixels
from noisegate.noise.filters import NoiseFilter, filter_details, filter_words, filter_work, filtered

PixelLevel = Annotated[int, Field(ge=0, le=LEVELS - 1)]


class UniformNoise(NoiseFamily):
    """Independent whole numbers from `low` to `high`, both included, for every pixel and channel."""

    covered: ClassVar[frozenset[str]] = frozenset({"uniform"})

    family: Literal["uniform"]
    low: PixelLevel = 0
    high: PixelLevel = LEVELS - 1
    quantity: Quantity = 1
    filter: NoiseFilter | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "UniformNoise":
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not be above high ({self.high})")
        return self

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        return filtered(uniform_pixels(generator, canvas, self.low, self.high), self.filter)

    def words(self) -> str:
        levels = "" if (self.low, self.high) == (0, LEVELS - 1) else f" {self.low}…{self.high}"
        return f"uniform{levels} {self.times}{filter_words(self.filter)}"

    def details(self) -> list[str]:
        return [f"levels {self.low} … {self.high}", *filter_details(self.filter)]

    @property
    def work_per_value(self) -> int:
        return filter_work(self.filter)
