"""What every family of noise has: a setting in the spec, pixels, words, and what it covers on a model's card."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, JsonValue

from noisegate.documents import MOST, Strict
from noisegate.noise.canvas import Canvas, Images

Quantity = Annotated[
    float, Field(ge=0, le=MOST, description="In units of the dataset's mean number of training images a class.")
]


class NoiseFamily(Strict):
    """One family of noise with its parameters: a subclass in a module of this package and an entry in `FAMILIES`.

    A subclass declares `family: Literal["its_name"]`, `quantity: Quantity = 1` and its parameters, and draws. All else has
    defaults that suit a family of a single group that no card tests by itself.
    """

    # Values for the fields that have no default, for an example of the family.
    example_fields: ClassVar[Mapping[str, JsonValue]] = {}
    # The card's families of images that come from this family's own generator, at every image size (`covers`).
    covered: ClassVar[frozenset[str]] = frozenset()

    family: str
    if TYPE_CHECKING:
        # Only for the type checker: pydantic would put an inherited field before the parameters, and stored specs have it
        # after them.
        quantity: Quantity

    @abstractmethod
    def draw(self, generator: np.random.Generator, canvas: Canvas) -> Images:
        """`canvas.count` images of one group. The same generator state must give the same bytes on every machine."""

    def groups(self) -> "Sequence[NoiseFamily]":
        """The equal groups that the images come in, in their order; most families are a single group.

        What is left over when the number of images does not divide goes one each to the first groups.
        """
        return [self]

    @property
    def image_dataset(self) -> str | None:
        """Id or name of the dataset whose training images they are; None for noise that is drawn."""
        return None

    @property
    def excluded(self) -> Sequence[str]:
        """Classes of `image_dataset` whose images are not taken."""
        return ()

    @property
    def needs_training_images(self) -> bool:
        """Whether the images are made of training images: `canvas.training_images` must be there."""
        return False

    def covers(self, image_size: int) -> frozenset[str]:  # noqa: ARG002 - some families look different when they are small
        """The card's families of images that a model trained on this noise has met (names of noisegate.evaluation.families).

        The generator decides, not the parameters: gaussian noise of any mean covers gaussian noise, and one so wide that
        nearly every value is 0 or 255 does not cover rademacher.
        """
        return self.covered

    def words(self) -> str:
        """The noise in a few words, its quantity included: `gaussian 127±70 1×`."""
        return f"{self.family} {self.times}"

    @property
    def times(self) -> str:
        """The quantity in words: `5×`."""
        return f"{self.quantity:g}×"

    @property
    def title(self) -> str:
        """The heading of a row of images of one group."""
        return self.family

    def details(self) -> list[str]:
        """What one group looks like: a few lines of at most 30 characters, of those that Pillow's own font has (no ×)."""
        return []

    @property
    def work_per_value(self) -> int:
        """How long drawing takes, in units of a plain family's time for each value of a pixel."""
        return 1
