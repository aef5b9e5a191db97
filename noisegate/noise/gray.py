"""Images of a single gray level."""

from typing import ClassVar, Literal

import numpy as np

from noisegate.noise.base import NoiseFamily, Quantity
from noisegate.noise.canvas import LEVELS, Canvas, Images


class GrayNoise(NoiseFamily):
    """One random gray level an image."""

    covered: ClassVar[frozenset[str]] = frozenset({"gray"})

    family: Literal["gray"]
    quantity: Quantity = 1

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        levels = generator.integers(LEVELS, size=(canvas.count, 1, 1, 1), dtype=np.uint8)
        return np.broadcast_to(levels, canvas.shape).copy()

    def details(self) -> list[str]:
        return ["one gray level an image"]
