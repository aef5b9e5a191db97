"""Images of noise: what the noise class is made of. One module a family: its spec, its pixels, its words, what it covers.

A new family is a subclass of `NoiseFamily` in a module of its own and an entry in `FAMILIES`; specs, labels, previews and
cards follow. NumPy, SciPy and pydantic only.
"""

from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema

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

_SeveralNoises = Annotated[list[NoiseSpec], Field(min_length=1, max_length=32)]
_ONE: TypeAdapter[NoiseFamily] = TypeAdapter(NoiseSpec)
_SEVERAL: TypeAdapter[list[NoiseFamily]] = TypeAdapter(_SeveralNoises)
_EITHER: TypeAdapter[NoiseFamily | list[NoiseFamily]] = TypeAdapter(NoiseSpec | _SeveralNoises)


class _OneOrSeveral:
    """Annotates a field that holds one noise or a list. A union of pydantic's would name its members in paths of errors."""

    @staticmethod
    def parse(value: Any) -> NoiseFamily | list[NoiseFamily]:
        return (_SEVERAL if isinstance(value, list | tuple) else _ONE).validate_python(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(_EITHER.core_schema)


OneOrSeveralNoises = Annotated[NoiseFamily | list[NoiseFamily], _OneOrSeveral]

__all__ = [
    "FAMILIES",
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
