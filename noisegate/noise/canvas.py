"""What several families of noise are drawn with: normal values, levels and colours, and the canvas they are drawn on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer, UInt8

LEVELS = 256

Images = UInt8[np.ndarray, "n size size 3"]


@dataclass(frozen=True)
class Canvas:
    """How many images of which side to draw, and the training images that some noise is made of, where there are any."""

    count: int
    image_size: int
    training_images: UInt8[np.ndarray, "train side side 3"] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (self.count, self.image_size, self.image_size, 3)

    def checked_training_images(self) -> UInt8[np.ndarray, "train size size 3"]:
        """The training images, for noise that is made of them.

        Raises:
            ValueError: there are none, or they have another size than the canvas.
        """
        images = self.training_images
        if images is None or len(images) == 0:
            raise ValueError("this noise is made of training images, and there are none")
        if images.shape[1:] != self.shape[1:]:
            raise ValueError(f"training images have the shape {images.shape[1:]}, the noise {self.shape[1:]}")
        return images


def normal_pixels(
    generator: np.random.Generator,
    canvas: Canvas,
    mean: float | Integer[np.ndarray, "n 1 1 1"],
    std: float | Integer[np.ndarray, "n 1 1 1"],
) -> Images:
    """Independent normal values, rounded and saturated; `mean` and `std` in pixel levels, for all images or for each."""
    values = generator.standard_normal(canvas.shape, dtype=np.float32)
    # Two steps in float32, as NumPy never fuses them into one rounding: the bytes are the same on every processor.
    values *= std
    values += mean
    return to_uint8(values)


def uniform_pixels(generator: np.random.Generator, canvas: Canvas, low: int = 0, high: int = LEVELS - 1) -> Images:
    """Independent levels from `low` to `high`, both included."""
    return generator.integers(low, high, canvas.shape, dtype=np.uint8, endpoint=True)


def colours(generator: np.random.Generator, count: int) -> UInt8[np.ndarray, "count 1 1 3"]:
    """Random colours, each to be spread over one image."""
    return generator.integers(LEVELS, size=(count, 1, 1, 3), dtype=np.uint8)


def solid_images(generator: np.random.Generator, canvas: Canvas) -> Images:
    """One random colour an image."""
    return np.broadcast_to(colours(generator, canvas.count), canvas.shape).copy()


def to_uint8(values: Float[np.ndarray, "n size size 3"]) -> Images:
    """Rounded half to even and saturated to 0 … 255."""
    images: Images = np.clip(np.rint(values), 0, LEVELS - 1).astype(np.uint8)
    return images
