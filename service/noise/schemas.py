"""What a preview is asked for, and the noise specs that stand in it."""

from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError

from noisegate.documents import Document
from noisegate.errors import InvalidInput, InvalidSpec
from noisegate.noise.families import (
    GaussianNoise,
    GrayNoise,
    MixtureNoise,
    NoiseSpec,
    OneOrSeveralNoises,
    SolidNoise,
    StructuredNoise,
    UniformNoise,
)
from noisegate.spec import field_errors
from service.datasets.registration import DEFAULT_IMAGE_SIZE, DIGITS

# Shown when nothing is asked for; a mixture has no defaults, so these means and widths are examples.
EVERY_FAMILY: list[NoiseSpec] = [
    GaussianNoise(family="gaussian"),
    UniformNoise(family="uniform"),
    SolidNoise(family="solid"),
    GrayNoise(family="gray"),
    MixtureNoise(family="mixture", means=[63, 191], stds=[35, 70]),
    StructuredNoise(family="structured"),
]

_FLAT = ("family", "mean", "std", "low", "high", "filter_kind", "filter_size")
_ADAPTER: TypeAdapter[OneOrSeveralNoises] = TypeAdapter(OneOrSeveralNoises)


class PreviewQuery(Document):
    """Either `noise`, or `family` with the fields of that family; without both, every family with its defaults."""

    noise: str | None = Field(None, description="A noise spec or a list of them, as JSON, as an experiment has it.")
    family: Literal["gaussian", "uniform", "solid", "gray", "structured"] | None = Field(
        None, description="The short form, for one family. A mixture is made of lists: send it as `noise`."
    )
    mean: float | None = Field(None, description="Of gaussian noise.")
    std: float | None = Field(None, description="Of gaussian noise.")
    low: int | None = Field(None, description="Of uniform noise: the lowest level.")
    high: int | None = Field(None, description="Of uniform noise: the highest level.")
    filter_kind: str | None = Field(None, description="mean or median, on gaussian or uniform noise.")
    filter_size: int | None = Field(None, description="1, 3, 5 or 7 pixels.")
    image_size: int = Field(DEFAULT_IMAGE_SIZE, ge=8, le=128, description="Side of each image in pixels.")
    seed: int = Field(0, ge=0, lt=2**63, description="The same seed shows the same images.")
    columns: int = Field(8, ge=1, le=20, description="Images a row.")
    dataset: str = Field(DIGITS, max_length=200, description="Id or name; structured noise cuts its patches from it.")

    def noises(self) -> list[NoiseSpec]:
        """The noise specs to show.

        Raises:
            InvalidInput: both forms at once, or fields without their family.
            InvalidSpec: with one entry a wrong field, as in `noise.std`.
        """
        flat = self.model_dump(include=set(_FLAT), exclude_none=True)
        if self.noise is not None and flat:
            also = ", ".join(name for name in _FLAT if name in flat)
            raise InvalidInput(f"stands beside {also}", field="noise", remedy="Send one form or the other.")
        if not flat:
            return EVERY_FAMILY if self.noise is None else _parsed(self.noise)
        if self.family is None:
            raise InvalidInput("is missing", field="family", remedy=f"Say what {next(iter(flat))} belongs to.")
        noise_filter = {name: flat.pop(f"filter_{name}") for name in ("kind", "size") if f"filter_{name}" in flat}
        return _parsed(flat | ({"filter": noise_filter} if noise_filter else {}))


def _parsed(document: object) -> list[NoiseSpec]:
    try:
        found = _ADAPTER.validate_json(document) if isinstance(document, str) else _ADAPTER.validate_python(document)
    except ValidationError as error:
        raise InvalidSpec(
            field_errors([entry | {"loc": ("noise", *entry["loc"])} for entry in error.errors()])
        ) from error
    return found if isinstance(found, list) else [found]
