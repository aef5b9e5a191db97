"""Images of a single colour."""

from typing import ClassVar, Literal

import numpy as np

from noisegate.noise.base import NoiseFamily, Quantity
from noisegate.noise.canvas import Canvas, Images, solid_images


class SolidNoise(NoiseFamily):
    """One random colour an image."""

    # A gray image is a solid colour.
    covered: ClassVar[frozenset[str]] = frozenset({"solid", "gray"})

    family: Literal["solid"]
    quantity: Quantity = 1

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        return solid_images(generator, canvas)

    def details(self) -> list[str]:
        return ["one colour an image"]
