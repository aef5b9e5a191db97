"""The answers of /presets and /backbones; see `noisegate.api.answers`."""

from typing import Any, Literal

from pydantic import Field

from noisegate.api.answers import Point
from noisegate.api.base import Answer, Open
from noisegate.api.result_answers import Published


class PresetScale(Answer):
    dataset: str | None
    cells: int
    executions: int
    epochs: int | None


class PresetAnswer(Answer):
    name: str
    title: str
    source: str
    description: str
    scales: dict[str, PresetScale]


class PresetChoiceAnswer(Answer):
    """One of the things that a preset may choose, and for which datasets."""

    name: str
    title: str
    when: str
    noise_images: int | None
    specs: dict[str, dict[str, Any]]


class PublishedRowAnswer(Answer):
    """What the paper prints for the cells with these settings."""

    cell: Point
    values: Published


class PresetWholeAnswer(PresetAnswer):
    """A preset with its specs and the published values."""

    specs: dict[str, dict[str, Any]]
    choices: list[PresetChoiceAnswer] = Field([])
    published: list[PublishedRowAnswer]
    published_note: str


class BackboneAnswer(Answer):
    """A network that somebody else has trained."""

    name: str
    source: Open[Literal["embedded", "folder", "hub"]]
    size_bytes: int | None
    image_size: int
    macs: int | None
    parameters: int | None
    fixed_size: bool
    fine_tune: bool
    licence: str
    note: str | None
