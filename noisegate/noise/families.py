"""Which images the noise class is made of. One class a family, `NoiseSpec` for any of them."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from noisegate.documents import MOST, Strict

Quantity = Annotated[
    float, Field(ge=0, le=MOST, description="In units of the dataset's mean number of training images a class.")
]
PixelLevel = Annotated[int, Field(ge=0, le=255)]
PixelMean = Annotated[float, Field(ge=-1000, le=1000)]
PixelStd = Annotated[float, Field(ge=0, le=1000)]
FilterSize = Literal[1, 3, 5, 7]
FilterKind = Literal["mean", "median"]


class NoiseFilter(Strict):
    """Smooths each channel of each noise image; size 1 leaves it as it is. The mean wraps around, the median mirrors."""

    kind: FilterKind
    size: FilterSize


class GaussianNoise(Strict):
    """Independent normal values for every pixel and channel, rounded and saturated to 0 … 255."""

    family: Literal["gaussian"]
    mean: PixelMean = 127
    std: PixelStd = 70
    quantity: Quantity = 1
    filter: NoiseFilter | None = None


class UniformNoise(Strict):
    """Independent whole numbers from `low` to `high`, both included, for every pixel and channel."""

    family: Literal["uniform"]
    low: PixelLevel = 0
    high: PixelLevel = 255
    quantity: Quantity = 1
    filter: NoiseFilter | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "UniformNoise":
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not be above high ({self.high})")
        return self


class SolidNoise(Strict):
    """One random colour an image."""

    family: Literal["solid"]
    quantity: Quantity = 1


class GrayNoise(Strict):
    """One random gray level an image."""

    family: Literal["gray"]
    quantity: Quantity = 1


class MixtureNoise(Strict):
    """Gaussian noise of every mean with every standard deviation with every filter size, in equal groups."""

    family: Literal["mixture"]
    means: list[PixelMean] = Field(min_length=1, max_length=64)
    stds: list[PixelStd] = Field(min_length=1, max_length=64)
    filter_kind: FilterKind = "mean"
    filter_sizes: list[FilterSize] = Field(default=[1], min_length=1, max_length=4)
    quantity: Quantity = 1


StructuredKind = Literal["uniform", "gaussian", "smooth", "two_colour", "grating", "patches", "solid"]


class StructuredNoise(Strict):
    """Several kinds of images that are not natural, but not independent from pixel to pixel either, in equal parts.

    uniform; gaussian of many means and widths; smooth fields of many scales and contrasts; two_colour fields thresholded
    from smooth ones; gratings of any angle and width; training images cut into patches and shuffled; solid colours.
    """

    family: Literal["structured"]
    kinds: list[StructuredKind] = Field(
        default=list(get_args(StructuredKind)),
        min_length=1,
        description="The kinds that are mixed; leave one out to test the network on what it has not seen.",
    )
    quantity: Quantity = 1

    @model_validator(mode="after")
    def _each_once(self) -> "StructuredNoise":
        if len(set(self.kinds)) < len(self.kinds):
            raise ValueError("names a kind twice")
        return self


NoiseSpec = Annotated[
    GaussianNoise | UniformNoise | SolidNoise | GrayNoise | MixtureNoise | StructuredNoise,
    Field(discriminator="family"),
]

# What pydantic puts into an error's location for the unions of this module; never the name of a field.
NOISE_TAGS = {"gaussian", "uniform", "solid", "gray", "mixture", "structured", "one-noise", "several-noises"}


def _one_or_several(value: Any) -> str:
    return "several-noises" if isinstance(value, list | tuple) else "one-noise"


OneOrSeveralNoises = Annotated[
    Annotated[NoiseSpec, Tag("one-noise")]
    | Annotated[list[NoiseSpec], Field(min_length=1, max_length=32), Tag("several-noises")],
    Discriminator(_one_or_several),
]
