"""Images of noise: what the noise class is made of. One module a family: its spec, its pixels, its words, what it covers.

A new family is a subclass of `NoiseFamily` in a module of its own and an entry in `FAMILIES`; specs, labels, previews and
cards follow. NumPy, SciPy and pydantic only.
"""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from noisegate.documents import OneOf
from noisegate.noise.base import NoiseFamily
from noisegate.noise.gaussian import GaussianNoise
from noisegate.noise.gray import GrayNoise
from noisegate.noise.mixture import MixtureNoise
from noisegate.noise.solid import SolidNoise
from noisegate.noise.structured import StructuredNoise
from noisegate.noise.uniform import UniformNoise

FAMILIES: dict[str, type[NoiseFamily]] = {
    "gaussian": GaussianNoise,
    "uniform": UniformNoise,
    "solid": SolidNoise,
    "gray": GrayNoise,
    "mixture": MixtureNoise,
    "structured": StructuredNoise,
}

NoiseSpec = Annotated[NoiseFamily, OneOf("family", FAMILIES)]

# What pydantic puts into an error's location for `OneOrSeveralNoises`; never the name of a field.
NOISE_TAGS = {"one-noise", "several-noises"}


def _one_or_several(value: Any) -> str:
    return "several-noises" if isinstance(value, list | tuple) else "one-noise"


OneOrSeveralNoises = Annotated[
    Annotated[NoiseSpec, Tag("one-noise")]
    | Annotated[list[NoiseSpec], Field(min_length=1, max_length=32), Tag("several-noises")],
    Discriminator(_one_or_several),
]

__all__ = [
    "FAMILIES",
    "NOISE_TAGS",
    "GaussianNoise",
    "GrayNoise",
    "MixtureNoise",
    "NoiseFamily",
    "NoiseSpec",
    "OneOrSeveralNoises",
    "SolidNoise",
    "StructuredNoise",
    "UniformNoise",
]
