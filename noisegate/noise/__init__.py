"""Images of noise: what the noise class is made of. One module a family: its spec, its pixels, its words, what it covers.

A new family is a subclass of `NoiseFamily` in a module of its own and an entry in `FAMILIES`; specs, labels, previews and
cards follow. NumPy, SciPy and pydantic only.
"""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from noisegate.documents import OneOf, ParsedBy
from noisegate.noise.base import NoiseFamily
from noisegate.noise.gaussian import GaussianNoise
from noisegate.noise.gray import GrayNoise
from noisegate.noise.images import DatasetImages
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
    "images": DatasetImages,
}

NoiseSpec = Annotated[NoiseFamily, OneOf("family", FAMILIES)]

_SeveralNoises = Annotated[list[NoiseSpec], Field(min_length=1, max_length=32)]
_ONE: TypeAdapter[NoiseFamily] = TypeAdapter(NoiseSpec)
_SEVERAL: TypeAdapter[list[NoiseFamily]] = TypeAdapter(_SeveralNoises)
_EITHER: TypeAdapter[NoiseFamily | list[NoiseFamily]] = TypeAdapter(NoiseSpec | _SeveralNoises)


def _one_or_several(value: Any) -> NoiseFamily | list[NoiseFamily]:
    return (_SEVERAL if isinstance(value, list | tuple) else _ONE).validate_python(value)


OneOrSeveralNoises = Annotated[NoiseFamily | list[NoiseFamily], ParsedBy(_one_or_several, _EITHER)]

__all__ = [
    "FAMILIES",
    "DatasetImages",
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
