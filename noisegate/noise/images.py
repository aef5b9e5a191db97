"""Real images as noise: those of a dataset, none of which is of a known class (outlier exposure, Hendrycks et al. 2019)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Int64
from pydantic import Field, JsonValue

from noisegate.documents import MOST
from noisegate.noise.base import NoiseFamily, Quantity
from noisegate.noise.canvas import Canvas, Images

# PostgreSQL stores no NUL character.
_Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class DatasetImages(NoiseFamily):
    """Training images of another dataset, each at most once more often than any other.

    Known images that resemble them may be taken for noise: `noise_weight` of the experiment below 1 prevents that.
    """

    example_fields: ClassVar[Mapping[str, JsonValue]] = {"dataset": "backgrounds"}

    family: Literal["images"]
    dataset: _Line = Field(description="Id or name of a dataset; its test images are not used.")
    exclude: list[_Line] = Field([], max_length=MOST, description="Classes of it that are left out.")
    quantity: Quantity = 1

    @property
    def image_dataset(self) -> str:
        return self.dataset

    @property
    def excluded(self) -> Sequence[str]:
        return self.exclude

    @property
    def needs_training_images(self) -> bool:
        return True

    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        """Of the canvas's images, which are the dataset's."""
        images = canvas.checked_training_images()
        drawn: Images = images[places_in_turn(generator, canvas.count, len(images))]
        return drawn

    def words(self) -> str:
        return f"images of {self.dataset} {self.times}"


def places_in_turn(generator: np.random.Generator, count: int, images: int) -> Int64[np.ndarray, " count"]:
    """`count` of that number of images: all of them in random order, and again from the start if there are too few."""
    return generator.permutation(images)[np.arange(count) % images]
