"""What a preview is asked for, and the noise specs that stand in it."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from noisegate.documents import Document, known_name
from noisegate.errors import InvalidInput, InvalidSpec
from noisegate.noise import FAMILIES, NoiseFamily, OneOrSeveralNoises
from noisegate.spec import field_errors
from service.datasets.registration import DEFAULT_IMAGE_SIZE, DIGITS


def _short_families() -> list[str]:
    """The families that the short form has room for: those whose fields all have defaults."""
    return [
        name
        for name, family in FAMILIES.items()
        if not any(field.is_required() for key, field in family.model_fields.items() if key != "family")
    ]


def _in_short(name: str) -> str:
    return known_name(name, _short_families())


def _list_families(schema: dict[str, Any]) -> None:
    schema["enum"] = _short_families()


_FLAT = ("family", "mean", "std", "low", "high", "filter_kind", "filter_size")
_ADAPTER: TypeAdapter[OneOrSeveralNoises] = TypeAdapter(OneOrSeveralNoises)


class PreviewQuery(Document):
    """Either `noise`, or `family` with the fields of that family; without both, every family with its defaults."""

    noise: str | None = Field(None, description="A noise spec or a list of them, as JSON, as an experiment has it.")
    family: Annotated[str, AfterValidator(_in_short), Field(json_schema_extra=_list_families)] | None = Field(
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

    def noises(self) -> list[NoiseFamily]:
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
            return every_family() if self.noise is None else _parsed(self.noise)
        if self.family is None:
            raise InvalidInput("is missing", field="family", remedy=f"Say what {next(iter(flat))} belongs to.")
        noise_filter = {name: flat.pop(f"filter_{name}") for name in ("kind", "size") if f"filter_{name}" in flat}
        return _parsed(flat | ({"filter": noise_filter} if noise_filter else {}))


def every_family() -> list[NoiseFamily]:
    """An example of each family that is drawn, shown when nothing is asked for."""
    examples = [family.model_validate({"family": name, **family.example_fields}) for name, family in FAMILIES.items()]
    return [example for example in examples if example.image_dataset is None]


def _parsed(document: object) -> list[NoiseFamily]:
    try:
        found = _ADAPTER.validate_json(document) if isinstance(document, str) else _ADAPTER.validate_python(document)
    except ValidationError as error:
        raise InvalidSpec(
            field_errors([entry | {"loc": ("noise", *entry["loc"])} for entry in error.errors()])
        ) from error
    noises = found if isinstance(found, list) else [found]
    for noise in noises:
        if noise.image_dataset is not None:
            remedy = "Leave it out: what it takes are the images of that dataset, so look at them there."
            raise InvalidInput(f"{noise.family} draws nothing", field="noise", remedy=remedy)
    return noises
